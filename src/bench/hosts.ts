// Starts host.ts and asks it.

import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import type { HostCounts, HostLine } from "./host.ts";
import type { Settings } from "./configurations.ts";
import { ownProgram, Service } from "./programs.ts";

export interface Host {
  readonly pid: number;
  readonly audit: string;
  /** The sensors that are live. */
  readonly live: readonly string[];
  counts(): Promise<HostCounts>;
  end(): Promise<void>;
}

const READY_WITHIN_MS = 60_000;
/** After a flood it takes in what came before it hears anything. */
const ANSWERS_WITHIN_MS = 180_000;

export async function startHost(
  folder: string,
  protect: readonly string[],
  settings: Settings,
  onLine?: (line: HostLine) => void,
): Promise<Host> {
  const service = new Service(process.execPath, ownProgram("bench/host"));
  const tell = onLine !== undefined;
  if (onLine) service.onLine((line) => onLine(JSON.parse(line) as HostLine));
  const told = service.hear((line) => {
    const answer = JSON.parse(line) as HostLine;
    return answer.type === "ready" || answer.type === "failed" ? answer : undefined;
  }, READY_WITHIN_MS);
  service.say(JSON.stringify({ folder: mkdtempSync(join(folder, "state-")), protect, settings, tell }));
  const ready = await told;
  if (ready.type === "failed") throw new Error(`the monitor could not be started: ${ready.error}`);
  return {
    pid: ready.pid,
    audit: ready.audit,
    live: ready.live,
    async counts() {
      const answer = service.hear((line) => {
        const each = JSON.parse(line) as HostLine;
        return each.type === "counts" ? each.counts : undefined;
      }, ANSWERS_WITHIN_MS);
      service.say("counts");
      return answer;
    },
    end: () => service.close(),
  };
}

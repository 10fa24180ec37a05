// Runs `rimon run` as a user would, and looks what it takes.

import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configurationText, type Settings } from "./configurations.ts";
import { ownProgram, Service } from "./programs.ts";

const READY_WITHIN_MS = 60_000;

export interface RunningRimon {
  readonly pid: number;
  /** From its start until it said that it is ready. */
  readonly readyMs: number;
  /** Which sensors are not live. */
  readonly blind: readonly string[];
  /** Findings by rule. */
  readonly findings: ReadonlyMap<string, number>;
  end(): Promise<void>;
}

interface Line {
  readonly type: string;
  readonly rule?: string;
  readonly sensors?: readonly { readonly name: string; readonly state: string }[];
}

export async function startRimon(
  folder: string,
  protect: readonly string[],
  settings: Settings = {},
): Promise<RunningRimon> {
  const state = mkdtempSync(join(folder, "state-"));
  const config = join(state, "rimon.yaml");
  writeFileSync(config, configurationText(state, protect, settings));
  const began = performance.now();
  const service = new Service(process.execPath, [...ownProgram("cli/main"), "run", "--json", "--config", config], {
    RIMON_STATE_DIR: state,
  });
  const findings = new Map<string, number>();
  service.onLine((line) => {
    const { type, rule = "" } = JSON.parse(line) as Line;
    if (type === "finding") findings.set(rule, (findings.get(rule) ?? 0) + 1);
  });
  const ready = await service.hear((line) => {
    const told = JSON.parse(line) as Line;
    return told.type === "ready" ? told : undefined;
  }, READY_WITHIN_MS);
  return {
    pid: service.pid,
    readyMs: performance.now() - began,
    blind: (ready.sensors ?? []).filter(({ state }) => state !== "live").map(({ name }) => name),
    findings,
    end: () => service.end(),
  };
}

/** CPU time of all threads of a process that live, by sched-stats.rst: the first number is nanoseconds on a CPU. */
export function cpuOf(pid: number): number {
  let ns = 0;
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    try {
      ns += Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "latin1").split(" ")[0]);
    } catch {
      // The thread has ended.
    }
  }
  return ns;
}

/** VmRSS, in bytes. */
export function residentOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]) * 1_024;
}

export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal.addEventListener("abort", aborted, { once: true });
  });
}

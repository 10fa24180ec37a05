// What of a drill is left: processes that were given this folder for their temporary files, and what lies in it.

import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Pids, other than our own, whose environment or arguments name the folder. */
export function processesNaming(folder: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => ["environ", "cmdline"].some((file) => textOf(`/proc/${pid}/${file}`).includes(folder)))
    .map(Number);
}

export async function waitUntilGone(folder: string, deadlineMs: number): Promise<void> {
  for (const deadline = Date.now() + deadlineMs; processesNaming(folder).length > 0; await sleep(20)) {
    if (Date.now() > deadline)
      throw new Error(`expected no process of the drill, got ${processesNaming(folder).join()}`);
  }
}

export function filesLeft(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith("rimon-"));
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

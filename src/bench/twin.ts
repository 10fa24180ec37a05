// The process table with node:fs and nothing else: what a monitor written in TypeScript alone would do, and what native/
// is compared with.

import { readdirSync, readFileSync } from "node:fs";

const PF_KTHREAD = 0x0020_0000;
const PF_EXITING = 0x0000_0004;

export interface StatTwin {
  readonly pid: number;
  readonly startTime: number;
  readonly parentPid: number;
  readonly comm: string;
  readonly kernelThread: boolean;
  readonly exiting: boolean;
}

/** What /proc/PID/stat says; undefined if the process is gone. */
export function readStatTwin(pid: number): StatTwin | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`));
  if (stat === undefined) return undefined;
  const close = stat.lastIndexOf(")");
  const fields = stat
    .subarray(close + 2)
    .toString("latin1")
    .split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    pid,
    startTime: field(22),
    parentPid: field(4),
    comm: stat.subarray(stat.indexOf("(") + 1, close).toString("utf8"),
    kernelThread: (field(9) & PF_KTHREAD) !== 0,
    exiting: (field(9) & PF_EXITING) !== 0,
  };
}

export function readTableTwin(): StatTwin[] {
  return numbersIn("/proc").flatMap((pid) => readStatTwin(pid) ?? []);
}

/** The tracer of every thread of a process. */
export function readThreadsTwin(pid: number): Map<number, number> {
  const tracers = new Map<number, number>();
  for (const tid of numbersIn(`/proc/${pid}/task`)) {
    const status = attempt(() => readFileSync(`/proc/${pid}/task/${tid}/status`, "latin1"));
    const tracer = /^TracerPid:\t(\d+)$/m.exec(status ?? "")?.[1];
    if (tracer !== undefined) tracers.set(tid, Number(tracer));
  }
  return tracers;
}

function numbersIn(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

// Program: takes a baseline, or checks one as often as it is asked to, and says how long that took and what memory it had.

import { readFileSync } from "node:fs";
import { openFileBaseline } from "../files/baseline-file.ts";
import { checkFiles, initFiles } from "../files/check.ts";
import { changeStorm, type StormOptions } from "./primitives.ts";

export type FilesOrder =
  | { readonly what: "init"; readonly file: string; readonly root: string }
  | { readonly what: "check" | "full"; readonly file: string; readonly times: number }
  | (Omit<StormOptions, "threads"> & { readonly what: "storm"; readonly root: string });

export interface FilesDone {
  /** Of each time. */
  readonly wallMs: readonly number[];
  /** Of all; of a storm: files that were changed. */
  readonly entries: number;
  readonly differences: number;
  /** Of all of this process, Node with it. */
  readonly residentMb: number;
}

const THREADS = 2;

async function does(order: FilesOrder): Promise<Omit<FilesDone, "residentMb">> {
  const began = performance.now();
  if (order.what === "storm") {
    const { calls, wallNs } = changeStorm(order.root, { threads: THREADS, ...order });
    return { wallMs: [wallNs / 1e6], entries: calls, differences: 0 };
  }
  if (order.what === "init") {
    const rules = [{ path: "/", group: "immutable" as const }];
    const { entries } = await initFiles({
      file: order.file,
      roots: [order.root],
      rules,
      threads: THREADS,
      idle: false,
    });
    return { wallMs: [performance.now() - began], entries: entries.count, differences: 0 };
  }
  const wallMs: number[] = [];
  let [entries, differences] = [0, 0];
  for (let time = 0; time < order.times; time++) {
    const from = performance.now();
    const baseline = await openFileBaseline(order.file);
    const checked = await checkFiles(baseline, { threads: THREADS, idle: false, full: order.what === "full" });
    await baseline.close();
    wallMs.push(performance.now() - from);
    ({ entries } = checked.progress);
    ({ differences } = checked);
  }
  return { wallMs, entries, differences };
}

const done = await does(JSON.parse(process.argv[2] ?? "{}") as FilesOrder);
process.stdout.write(`${JSON.stringify({ ...done, residentMb: peakMb() })}\n`);

/** Of what runs now: ru_maxrss (getrusage(2)) counts what started it, too, from before its exec. */
function peakMb(): number {
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1")) ?? [];
  return (Number(kib) * 1024) / 1e6;
}

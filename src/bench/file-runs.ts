// Runs of the bench of files, each a process of its own: what they took and what memory they had; and init and full check of
// a tree beside the bare reading and hashing of the same files.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { FilesDone, FilesOrder } from "./files-child.ts";
import type { FileTree } from "./file-tree.ts";
import { hashFiles } from "./primitives.ts";
import { ownProgram } from "./programs.ts";
import type { BenchContext } from "./result.ts";
import { ratioOf, spread, type Pair } from "./statistics.ts";

export const THREADS = 2;
const POLL_MS = 10;

/** Init and full check of a tree beside the bare loop, in turns; what each took, in ms. */
export async function besideBare(
  context: BenchContext,
  prefix: string,
  tree: FileTree,
  file: string,
  rounds: number,
): Promise<{ readonly bare: readonly number[]; readonly init: readonly number[]; readonly full: readonly number[] }> {
  const what = sizeOf(tree);
  const bare: number[] = [];
  const init: FilesDone[] = [];
  const full: FilesDone[] = [];
  // One that does not count: it has the pages of the files and of the programs in the caches of the processor.
  for (let round = 0; round <= rounds; round++) {
    context.progress(`init and full check of ${tree.root}, ${round} of ${rounds}`);
    const began = hashFiles(tree.paths, THREADS).wallNs / 1e6;
    const taken = await ordered({ what: "init", file, root: tree.root }, context.signal);
    const checked = await ordered({ what: "full", file, times: 1 }, context.signal);
    mustBe(taken.entries === tree.entries && checked.entries === tree.entries, "a file was left out", taken, checked);
    mustBe(checked.differences === 0, "files that nobody changed differ", checked);
    if (round === 0) continue;
    bare.push(began);
    init.push(taken);
    full.push(checked);
  }
  const wall = (done: readonly FilesDone[]): number[] => done.flatMap(({ wallMs }) => wallMs);
  const pairs = (done: readonly FilesDone[]): Pair[] =>
    wall(done).map((of, index) => ({ of, against: bare[index] ?? Number.NaN }));
  const row = (name: string, label: string, ms: readonly number[]): void =>
    context.figure({
      id: `${prefix}${name}/wall`,
      label: [what, `${label}, ${THREADS} threads`],
      unit: "s",
      estimate: spread(ms.map((each) => each / 1_000)),
    });
  row("bare", "files read and hashed, and nothing else", bare);
  row("init", "init", wall(init));
  row("full", "full check", wall(full));
  for (const [name, label, done] of [
    ["init", "init", init],
    ["full", "full check", full],
  ] as const) {
    context.figure({
      id: `${prefix}${name}/of-bare`,
      label: `${label} of ${what}, of the bare loop`,
      unit: "times",
      estimate: ratioOf(pairs(done)),
      interval: "95 %",
    });
    context.figure({
      id: `${prefix}${name}/resident`,
      label: `${label} of ${what}, peak resident memory, Node with it`,
      unit: "MB",
      estimate: spread(done.map(({ residentMb }) => residentMb)),
    });
  }
  return { bare, init: wall(init), full: wall(full) };
}

export function sizeOf({ entries, bytes }: FileTree): string {
  return `${entries} entries, ${Math.round(bytes / 1e6)} MB`;
}

export function mustBe(holds: boolean, otherwise: string, ...about: unknown[]): void {
  if (!holds) throw new Error(`${otherwise}: ${JSON.stringify(about)}`);
}

export async function ordered(order: FilesOrder, signal: AbortSignal): Promise<FilesDone> {
  const { said } = await measured(
    process.execPath,
    [...ownProgram("bench/files-child"), JSON.stringify(order)],
    signal,
  );
  return JSON.parse(said) as FilesDone;
}

export interface Measured {
  readonly wallMs: number;
  /** The most it had; as far as it was looked at, which is a hundred times a second. */
  readonly residentMb: number;
  readonly said: string;
}

/** Runs a program to its end; rejects if that is not code 0. */
export function measured(path: string, args: readonly string[], signal: AbortSignal, input = ""): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(path, args, { signal, stdio: ["pipe", "pipe", "pipe"] });
    let [said, complained, residentMb] = ["", "", 0];
    const poll = setInterval(() => (residentMb = Math.max(residentMb, peakOf(child.pid))), POLL_MS);
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-65_536)));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complained = (complained + text).slice(-4_096)));
    child.stdin.on("error", () => {}); // Told by its exit.
    child.stdin.end(input);
    child.once("error", (error) => {
      clearInterval(poll);
      reject(error);
    });
    child.once("close", (code, by) => {
      clearInterval(poll);
      const wallMs = performance.now() - began;
      if (code === 0) resolve({ wallMs, residentMb, said });
      else reject(new Error(`${path} ended with ${by ?? `code ${code}`}: ${(complained || said).trim().slice(-500)}`));
    });
  });
}

function peakOf(pid: number | undefined): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return Number(kilobytes ?? 0) / 1_000;
  } catch {
    return 0; // It has ended.
  }
}

// What the exec gate adds to an exec, in pairs with none; and what fapolicyd does, on the same file system. That is an ext2
// of the bench's own: nothing else of the machine lies on it, and nothing else is marked.

import { chownSync, copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { compileGateTable, type GateTable } from "../baselines/gate-table.ts";
import { GATE_MODE, requireFilesAddon } from "../native.ts";
import { mountsIn } from "../mountinfo.ts";
import { Fapolicyd } from "./fapolicyd.ts";
import { execTimes } from "./primitives.ts";
import { findProgram, run } from "./programs.ts";
import type { Bench, BenchContext } from "./result.ts";
import { differenceOf, mapped, median, randomFrom, ratioOf, shuffled, spread, type Pair } from "./statistics.ts";

const ROUNDS = 15;
const QUICK_ROUNDS = 5;
const EXECS = 300;
const WARM_UP = 20;
const PROGRAM = "/bin/true";
const NOBODY = 65_534;
const IMAGE = "64M";

interface Way {
  readonly id: string;
  readonly label: string;
  /** Each time a file that was not run before. */
  readonly first: boolean;
  readonly owner: number;
  readonly by: "gate" | "fapolicyd";
  readonly table?: GateTable;
}

export const gate: Bench = {
  name: "gate",
  summary: "what the exec gate adds to an exec, and what fapolicyd does",
  needsRoot: true,
  async run(context) {
    const missing = ["mke2fs", "mount", "umount"].find((program) => findProgram(program) === undefined);
    if (missing !== undefined) return context.leftOut("", "all of it", `${missing} is not installed`);
    const image = join(context.folder, "image");
    const folder = join(context.folder, "ext2");
    await run("mke2fs", ["-q", "-t", "ext2", image, IMAGE]);
    mkdirSync(folder);
    try {
      await run("mount", ["-t", "ext2", "-o", "loop", image, folder]);
    } catch (thrown) {
      return context.leftOut("", "all of it", `a loop device cannot be had: ${(thrown as Error).message}`);
    }
    try {
      await measure(context, folder);
    } finally {
      await run("umount", ["-l", folder]);
    }
  },
};

async function measure(context: BenchContext, folder: string): Promise<void> {
  const known = tableOf([createHash("sha256").update(readFileSync(PROGRAM)).digest("hex")]);
  const ways: readonly Way[] = [
    { id: "warm", label: "left to the kernel", first: false, owner: 0, by: "gate", table: known },
    { id: "rule", label: "a rule by path", first: false, owner: 0, by: "gate", table: { ...known, rules: [{ verdict: "allow", path: "/" }] } }, // prettier-ignore
    { id: "own", label: "a user's own file", first: false, owner: NOBODY, by: "gate", table: known },
    { id: "first", label: "first time", first: true, owner: 0, by: "gate", table: known },
    { id: "warm/fapolicyd", label: "again, fapolicyd", first: false, owner: 0, by: "fapolicyd" },
    { id: "first/fapolicyd", label: "first time, fapolicyd", first: true, owner: 0, by: "fapolicyd" },
  ];
  const why = await Fapolicyd.missing();
  if (why !== undefined) context.leftOut("*/fapolicyd", "fapolicyd", why);
  const chosen = ways.filter(({ by }) => by === "gate" || why === undefined);
  const rounds = context.quick ? QUICK_ROUNDS : ROUNDS;
  const random = randomFrom(rounds);
  const pairs = new Map<string, Pair[]>(chosen.map(({ id }) => [id, []]));
  for (let round = 0; round < rounds; round++) {
    for (const way of shuffled(chosen, random)) {
      context.signal.throwIfAborted();
      context.progress(`${way.label}, ${round + 1} of ${rounds}`);
      const pair = { of: 0, against: 0 };
      for (const side of shuffled(["of", "against"] as const, random))
        pair[side] = await once(context, folder, way, side === "of");
      pairs.get(way.id)?.push(pair);
    }
  }
  const us = (ns: number): number => ns / 1_000;
  for (const { id, label } of chosen) {
    const of = pairs.get(id) ?? [];
    context.figure({ id, label: [label, "more than no gate"], unit: "µs", estimate: mapped(differenceOf(of), us), interval: "95 %" }); // prettier-ignore
  }
  const bare = [...pairs.values()].flat().map(({ against }) => us(against));
  context.figure({ id: "bare", label: ["no gate", "fork, exec and wait"], unit: "µs", estimate: spread(bare), better: "neither" }); // prettier-ignore
  const added = (id: string): number[] => (pairs.get(id) ?? []).map(({ of, against }) => of - against);
  if (why === undefined) {
    // Of what fapolicyd adds in all: a difference of few is not to be divided by.
    const theirs = median(added("warm/fapolicyd"));
    const ratio = ratioOf(added("warm").map((of) => ({ of, against: theirs })));
    context.figure({ id: "warm/of-fapolicyd", label: "left to the kernel, of what fapolicyd adds", unit: "times", estimate: ratio, interval: "95 %" }); // prettier-ignore
  }
}

/** The median of so many execs, in nanoseconds. */
async function once(context: BenchContext, folder: string, way: Way, watched: boolean): Promise<number> {
  const program = join(folder, "program");
  const files = way.first ? Array.from({ length: EXECS }, (_, index) => `${program}.${index}`) : [program];
  for (const file of files) {
    copyFileSync(PROGRAM, file);
    chownSync(file, way.owner, way.owner);
  }
  const end = watched ? await watch(context, folder, way, files) : async () => {};
  try {
    if (!way.first) execTimes(program, WARM_UP);
    return median(execTimes(program, EXECS, way.first));
  } finally {
    await end();
    for (const file of files) rmSync(file);
  }
}

async function watch(
  { folder: scratch }: BenchContext,
  folder: string,
  { by, table }: Way,
  files: readonly string[],
): Promise<() => Promise<void>> {
  if (by === "fapolicyd" || table === undefined) {
    const daemon = await Fapolicyd.start(scratch, folder, files);
    return () => daemon.end();
  }
  const opened = requireFilesAddon().openGate(() => undefined);
  const mount = mountsIn(readFileSync("/proc/self/mountinfo", "utf8")).findLast(({ path }) => path === folder);
  if (mount === undefined) throw new Error(`a file system was mounted at ${folder}, and is not there`);
  opened.load(compileGateTable(table));
  opened.mark(0, folder, mount.id, GATE_MODE.enforce, false);
  return async () => {
    const { allowed, denied, unanswered } = opened.status();
    opened.close();
    if (allowed === 0 || denied > 0 || unanswered > 0)
      throw new Error(`the gate was to allow: ${allowed} allowed, ${denied} denied, ${unanswered} unanswered`);
  };
}

function tableOf(digests: readonly string[]): GateTable {
  return {
    rules: [{ verdict: "allow", in: ["known"] }],
    sets: new Map([["known", digests]]),
    otherwise: "deny",
    unanswered: "allow",
    deadlineMs: 5_000,
    maxBytes: 2 ** 28,
    interpreters: [],
    updaters: [],
  };
}

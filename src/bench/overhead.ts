// What rimon costs others: the same work, in turns, with nobody watching, with rimon, and with what else there is.

import { readFileSync } from "node:fs";
import { reasonOf } from "../errors.ts";
import { LOADS, missingFor, type Load, type Ran, type Running } from "./loads.ts";
import { pause } from "./monitors.ts";
import type { Bench, BenchContext } from "./result.ts";
import { mapped, randomFrom, ratioOf, shuffled, type Pair } from "./statistics.ts";
import { auditd, nobody, RIMON, strace, type Watcher } from "./watchers.ts";

const ROUNDS = 5;
const QUICK_ROUNDS = 2;
const IN_QUICK = ["redis", "https", "compile", "faults"];
const OTHERS_ROUNDS = 3;
const TRACED_ROUNDS = 2;
/** Those on which others are measured too. */
const WITH_OTHERS = ["redis", "https", "compile"];
const SEEN_WITHIN_MS = 3_000;
/** What is to be protected is called so. */
const COMM = `rimon-b-${process.pid}`;

export const overhead: Bench = {
  name: "overhead",
  summary: "what others lose while rimon watches, and while auditd or strace does",
  needsRoot: true,
  async run(context) {
    const { quick } = context;
    const loads = LOADS.filter((load) => {
      const why = missingFor(load);
      if (why !== undefined) context.leftOut(load.name, load.label, why);
      return why === undefined;
    });
    for (const group of groupsOf(loads.filter(({ name }) => !quick || IN_QUICK.includes(name))))
      await measure(context, group, RIMON, quick ? QUICK_ROUNDS : ROUNDS);
    if (quick) {
      const left = LOADS.map(({ name }) => name).filter((name) => !IN_QUICK.includes(name));
      for (const name of left) context.leftOut(name, name, "a quick run has no time for it");
      context.leftOut("*/auditd", "auditd and strace", "a quick run does not compare with them");
      return;
    }
    // Last: audit once switched on leaves its mark on every process that is started.
    const others: readonly { readonly watcher: Watcher; readonly on: readonly string[]; readonly rounds: number }[] = [
      { watcher: strace, on: ["redis"], rounds: TRACED_ROUNDS },
      { watcher: auditd, on: WITH_OTHERS, rounds: OTHERS_ROUNDS },
    ];
    for (const { watcher, on, rounds } of others) {
      const why = await watcher.missing();
      if (why !== undefined) context.leftOut(`*/${watcher.name}`, watcher.label, why);
      else for (const load of loads) if (on.includes(load.name)) await measure(context, [load], [watcher], rounds);
    }
  },
};

/** What takes no time to speak of goes together: a watcher is started for all of it at once. */
function groupsOf(loads: readonly Load[]): readonly (readonly Load[])[] {
  const short = loads.filter(({ by }) => by === "cpu");
  const long = loads.filter(({ by }) => by === "wall").map((load) => [load]);
  return short.length === 0 ? long : [...long, short];
}

/** Every round has one run of each, in another order, and where the watchers allow it of one start of the loads. */
async function measure(
  context: BenchContext,
  loads: readonly Load[],
  watchers: readonly Watcher[],
  rounds: number,
): Promise<void> {
  const names = loads.map(({ name }) => name).join(", ");
  const random = randomFrom(names.length + rounds);
  const ran = new Map<Watcher, Ran[][]>([nobody, ...watchers].map((watcher) => [watcher, []]));
  try {
    for (let round = 0; round < rounds; round++) {
      await withLoads(
        context,
        watchers.some(({ sees }) => sees === "what starts after it") ? [] : loads,
        async (running) => {
          for (const watcher of shuffled([nobody, ...watchers], random)) {
            context.progress(`${names}, watched by ${watcher.label}, ${round + 1} of ${rounds}`);
            context.signal.throwIfAborted();
            ran.get(watcher)?.push(await runOnce(context, loads, running, watcher));
          }
        },
      );
    }
  } catch (thrown) {
    context.signal.throwIfAborted();
    throw new Error(`${names}: ${reasonOf(thrown)}`, { cause: thrown });
  }
  for (const [index, load] of loads.entries()) {
    const runsOf = (watcher: Watcher): Ran[] => (ran.get(watcher) ?? []).flatMap((round) => round[index] ?? []);
    for (const watcher of watchers) tellLoss(context, load, watcher, runsOf(nobody), runsOf(watcher));
  }
}

function tellLoss(
  context: BenchContext,
  load: Load,
  watcher: Watcher,
  off: readonly Ran[],
  watched: readonly Ran[],
): void {
  const pairs = (of: (ran: Ran) => number): Pair[] =>
    watched.flatMap((run, round) => {
      const without = off[round];
      return without === undefined ? [] : [{ of: of(run), against: of(without) }];
    });
  const wall = ratioOf(pairs(({ wallNs }) => wallNs));
  const cpu = ratioOf(pairs(({ cpuNs }) => cpuNs));
  // Time that is longer by a part is throughput that is lost.
  const lost = (ratio: number): number => (1 - 1 / ratio) * 100;
  context.figure({
    id: `${load.name}/${watcher.name}`,
    label: [load.label, `lost to ${watcher.label}`],
    unit: "%",
    estimate: mapped(load.by === "wall" ? wall : cpu, lost),
    interval: "95 %",
  });
  if (load.by === "wall")
    context.figure({
      id: `${load.name}/${watcher.name}/cpu`,
      label: [load.label, `CPU, ${watcher.label}`],
      unit: "% more",
      estimate: mapped(cpu, (ratio) => (ratio - 1) * 100),
      interval: "95 %",
    });
}

/** Each of the loads, one after another, under one start of the watcher; those that do not run yet are started under it. */
async function runOnce(
  context: BenchContext,
  loads: readonly Load[],
  running: readonly Running[],
  watcher: Watcher,
): Promise<Ran[]> {
  const { folder, signal } = context;
  const watching = await watcher.start(folder, COMM, signal);
  const ran: Ran[] = [];
  const runOf = async (load: Running): Promise<void> => {
    await watching.attach?.(load.pid);
    ran.push(await load.work());
    if (watching.findings) await proveWatched(watching.findings, load.pid, signal);
  };
  try {
    if (running.length > 0) for (const load of running) await runOf(load);
    else for (const load of loads) await withLoads(context, [load], async ([started]) => started && runOf(started));
  } finally {
    await watching.end();
  }
  return ran;
}

async function withLoads(
  { folder, quick, signal }: BenchContext,
  loads: readonly Load[],
  work: (running: readonly Running[]) => Promise<unknown>,
): Promise<void> {
  const running: Running[] = [];
  try {
    for (const load of loads) running.push(await load.start(folder, COMM, quick, signal));
    await work(running);
  } finally {
    for (const each of running) await each.end();
  }
}

/** Who is not watched costs nothing: that it was, its own environment tells when it is read. */
async function proveWatched(findings: (rule: string) => number, pid: number, signal: AbortSignal): Promise<void> {
  const before = findings("environ-read");
  readFileSync(`/proc/${pid}/environ`);
  const until = performance.now() + SEEN_WITHIN_MS;
  while (findings("environ-read") === before) {
    if (performance.now() > until) throw new Error("rimon did not watch the process that it was to protect");
    await pause(10, signal);
  }
}

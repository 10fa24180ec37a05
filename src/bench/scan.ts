// One full process table, by everything that can read one, at more and more processes.

import { spawnSync } from "node:child_process";
import type { Configuration } from "../configuration.ts";
import { createAnalysis, type Analysis } from "../analysis.ts";
import { reasonOf } from "../errors.ts";
import { createIdentifiers } from "../identifier.ts";
import { requireAddon, WANT, type Procfs } from "../native.ts";
import { decodeRecords } from "../records.ts";
import { createProcessTable } from "../sensors/process-table.ts";
import { plainConfiguration } from "./configurations.ts";
import { pause } from "./monitors.ts";
import { countProcesses, noRoomFor, populate } from "./population.ts";
import { cpuNs, loop } from "./primitives.ts";
import { findProgram } from "./programs.ts";
import type { Bench, BenchContext } from "./result.ts";
import { median, ratioOf, spread, exactly, type Pair } from "./statistics.ts";
import { startSubject } from "./subjects.ts";
import { readTableTwin, readThreadsTwin } from "./twin.ts";

/** A way to read the table. */
interface Reader {
  readonly name: string;
  readonly label: string;
  /** What it read shortly before it gives again. */
  readonly restMs?: number;
  /** Makes what reads it once; says why it cannot. */
  open(procfs: Procfs, configuration: Configuration): Promise<(() => unknown) | { readonly why: string }>;
}

/** To add one: its line here. */
const READERS: readonly Reader[] = [
  { name: "rimon", label: "rimon's own pass", open: async (procfs, configuration) => ownPass(procfs, configuration) },
  { name: "walk", label: "the kernel's walk of its tasks", open: async (procfs) => walker(procfs) },
  {
    name: "walk-applied",
    label: "the walk, decoded and all applied to the state",
    async open(procfs, configuration) {
      const walk = await walker(procfs);
      return typeof walk === "function" ? applied(walk, configuration) : walk;
    },
  },
  { name: "proc", label: "C, /proc", open: async (procfs) => () => procfs.scan(0) },
  {
    name: "proc-applied",
    label: "C, /proc, decoded and all applied to the state",
    open: async (procfs, configuration) => applied(() => procfs.scan(0), configuration),
  },
  { name: "floor", label: "bare openat, read, close", open: async () => () => loop("readProc", { calls: 1 }) },
  { name: "twin", label: "TypeScript, node:fs", open: async () => readTableTwin },
  {
    name: "ps",
    label: "ps -e",
    async open() {
      const ps = findProgram("ps");
      return ps === undefined ? { why: "ps is not installed" } : () => spawnSync(ps, ["-e"], { stdio: "ignore" });
    },
  },
  {
    name: "systeminformation",
    label: "npm systeminformation, processes()",
    // Asked again within half a second it gives what it gave before.
    restMs: 600,
    async open() {
      try {
        const { processes } = (await import("systeminformation")).default;
        return () => processes();
      } catch {
        return { why: "the npm package systeminformation is not installed" };
      }
    },
  },
];

const THREADS = 10_000;
/** A monitor runs for months: what its passes cost until they are compiled is not what it costs. */
const WARM_RUNS = 60;
const WARM_MS = 300;
/** Threads in the measured table of a quick run. */
const QUICK_THREADS = 1_000;

export const scan: Bench = {
  name: "scan",
  summary: "one full process table: CPU per process",
  async run(context) {
    const { quick } = context;
    const procfs = requireAddon().addon.openProcfs();
    try {
      const costs = new Map<string, number>();
      for (const wanted of quick ? [1_000] : [100, 1_000, 10_000]) {
        const why = noRoomFor(wanted);
        if (why !== undefined) {
          context.leftOut(`*/*/${wanted}`, `${wanted} processes`, why);
          continue;
        }
        context.progress(`starting ${wanted} processes`);
        const population = await populate(wanted);
        try {
          await scanAt(context, procfs, wanted, costs);
        } finally {
          await population.end();
        }
      }
      tellLinearity(context, costs);
      await scanThreads(context, procfs);
    } finally {
      procfs.close();
    }
  },
};

async function scanAt(
  context: BenchContext,
  procfs: Procfs,
  wanted: number,
  costs: Map<string, number>,
): Promise<void> {
  const rounds = context.quick ? 3 : wanted >= 10_000 ? 3 : 7;
  const configuration = plainConfiguration(context.folder, ["comm:rimon-bench-nobody"]);
  const readers: { readonly reader: Reader; readonly read: () => unknown; cpu: number[]; wall: number[] }[] = [];
  for (const reader of READERS) {
    const read = await reader.open(procfs, configuration);
    if (typeof read !== "function") context.leftOut(reader.name, reader.label, read.why);
    else readers.push({ reader, read, cpu: [], wall: [] });
  }
  for (const { reader, read } of readers) {
    context.progress(`${reader.label}, ${wanted} processes, warming up`);
    await warmUp(read, context.signal, reader.restMs === undefined ? WARM_RUNS : 1);
  }
  for (let round = 1; round <= rounds; round++) {
    for (const { reader, read, cpu, wall } of readers) {
      context.progress(`${reader.label}, ${wanted} processes, ${round} of ${rounds}`);
      context.signal.throwIfAborted();
      if (reader.restMs !== undefined) await pause(reader.restMs, context.signal);
      const processes = countProcesses();
      // The one that is counted comes after one that is not: the reader before has left the caches and the heap as it wants them.
      if (reader.restMs === undefined) await read();
      const once = await costOf(read);
      cpu.push(once.cpuNs / processes / 1_000);
      wall.push(once.wallNs / 1e6);
    }
  }
  for (const { reader, cpu, wall } of readers) {
    costs.set(`${reader.name}/${wanted}`, median(cpu));
    context.figure({
      id: `${reader.name}/cpu/${wanted}`,
      label: [reader.label, `${wanted}: CPU per process`],
      unit: "µs",
      estimate: spread(cpu),
    });
    context.figure({
      id: `${reader.name}/wall/${wanted}`,
      label: [reader.label, `${wanted}: by the clock`],
      unit: "ms",
      estimate: spread(wall),
    });
  }
  const cpuOf = (name: string): readonly number[] => readers.find(({ reader }) => reader.name === name)?.cpu ?? [];
  const tellRatio = (of: string, against: string, label: string): void => {
    const [mine, theirs] = [cpuOf(of), cpuOf(against)];
    if (mine.length === 0 || theirs.length === 0) return;
    const pairs: Pair[] = mine.map((value, round) => ({ of: value, against: theirs[round] ?? Number.NaN }));
    context.figure({
      id: `${of}/of-${against}/${wanted}`,
      label,
      unit: "×",
      estimate: ratioOf(pairs),
      interval: "95 %",
    });
  };
  tellRatio("rimon", "twin", `rimon's own pass, of the TypeScript twin, ${wanted}`);
  tellRatio("rimon", "ps", `rimon's own pass, of ps -e, ${wanted}`);
  tellRatio("proc", "floor", `C, /proc, of the bare floor, ${wanted}`);
}

function tellLinearity(context: BenchContext, costs: ReadonlyMap<string, number>): void {
  const [few, many] = [costs.get("rimon/1000"), costs.get("rimon/10000")];
  if (few === undefined || many === undefined)
    return context.leftOut("rimon/linear", "how linear the curve is", "10,000 processes were not measured");
  context.figure({
    id: "rimon/linear",
    label: "rimon's own pass, per process at 10,000 as against 1,000",
    unit: "×",
    estimate: exactly(many / few),
  });
}

async function scanThreads(context: BenchContext, procfs: Procfs): Promise<void> {
  const threads = context.quick ? QUICK_THREADS : THREADS;
  const why = noRoomFor(threads);
  if (why !== undefined) return context.leftOut("*/threads", `${threads} threads of one process`, why);
  context.progress(`starting ${threads} threads`);
  const subject = await startSubject(context.folder);
  try {
    await subject.startThreads(threads);
    const pids = Uint32Array.of(subject.pid);
    const walk = await walker(procfs, WANT.traced);
    const ways: readonly (readonly [string, string, () => unknown])[] = [
      ["proc", "C, /proc", () => procfs.scan(WANT.traced, pids)],
      ...(typeof walk === "function" ? [["walk", "the kernel's walk of its tasks", walk] as const] : []),
      ["floor", "bare openat, read, close", () => loop("readProc", { calls: 1, pid: subject.pid })],
      ["twin", "TypeScript, node:fs", () => readThreadsTwin(subject.pid)],
    ];
    const rounds = context.quick ? 3 : 7;
    const cpu = new Map(ways.map(([name]) => [name, [] as number[]]));
    for (let round = 0; round <= rounds; round++) {
      for (const [name, label, read] of ways) {
        context.progress(`${label}, ${threads} threads, ${round} of ${rounds}`);
        context.signal.throwIfAborted();
        const once = await costOf(read);
        if (round > 0) cpu.get(name)?.push(once.cpuNs / threads / 1_000);
      }
    }
    for (const [name, label] of ways)
      context.figure({
        id: `${name}/threads/${threads}`,
        label: [label, `${threads} threads of one process: CPU per thread`],
        unit: "µs",
        estimate: spread(cpu.get(name) ?? []),
      });
  } finally {
    await subject.end();
  }
}

async function warmUp(read: () => unknown, signal: AbortSignal, runs: number): Promise<void> {
  const until = performance.now() + WARM_MS;
  for (let run = 0; run < runs && performance.now() < until; run++) {
    signal.throwIfAborted();
    await read();
  }
}

async function costOf(read: () => unknown): Promise<{ readonly cpuNs: number; readonly wallNs: number }> {
  const [cpu, began] = [cpuNs(), process.hrtime.bigint()];
  await read();
  return { wallNs: Number(process.hrtime.bigint() - began), cpuNs: cpuNs() - cpu };
}

/** Why there is none, where the kernel gives us no eBPF. */
async function walker(procfs: Procfs, want = 0): Promise<(() => Promise<Buffer>) | { readonly why: string }> {
  try {
    await procfs.walk(want);
  } catch (thrown) {
    return { why: reasonOf(thrown) };
  }
  return () => procfs.walk(want);
}

/** What `rimon run` does each interval when nothing has changed, by the sensor itself. */
async function ownPass(procfs: Procfs, configuration: Configuration): Promise<() => unknown> {
  const { addon, path } = requireAddon();
  const analysis = newAnalysis(configuration);
  const sensor = createProcessTable({
    addon,
    addonPaths: [path],
    procfs,
    emit: (observation) => void analysis.absorb(observation),
    now: Date.now,
    openBaseline: async () => ({}),
    requestSweep() {},
    lineage: () => [],
    protectedProcesses: () =>
      [...analysis.state.protectedProcesses()].map(({ process: { pid, startTime } }) => ({ pid, startTime })),
    isProtected: (pid) => analysis.state.isProtected(pid),
    resolve: () => undefined,
    isLive: () => true,
    refusals: () => [],
    refusedRules: () => [],
    nodeRefusals: () => [],
    exemptions: () => [],
  });
  await sensor.start();
  return () => sensor.pass?.(false);
}

function applied(read: () => Promise<Buffer>, configuration: Configuration): () => Promise<void> {
  const analysis = newAnalysis(configuration);
  return async () => {
    const at = Date.now();
    for (const record of decodeRecords(await read())) {
      if (record.kind !== "process") continue;
      const { process } = record;
      analysis.absorb({ kind: "process.seen", at, sensor: "process-table", by: "scan", process });
    }
  };
}

function newAnalysis(configuration: Configuration): Analysis {
  return createAnalysis(configuration, { pid: process.pid, ancestors: new Set() }, createIdentifiers());
}

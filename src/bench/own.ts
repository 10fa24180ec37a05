// What `rimon run` itself takes: CPU and memory, idle and busy, at more and more processes, and how long it needs to be
// ready. Beside it a Node that does nothing.

import { readFileSync } from "node:fs";
import { noRoomFor, populate } from "./population.ts";
import { cpuOf, pause, residentOf, startRimon } from "./monitors.ts";
import { Service } from "./programs.ts";
import type { Bench, BenchContext } from "./result.ts";
import { exactly, spread } from "./statistics.ts";
import { startSubject } from "./subjects.ts";

const PROTECTED = "rimon-bench-key";
/** After its start it reads what there is, once. */
const SETTLED_MS = 3_000;
/** Programs started a second where the node is busy. */
const BUSY_A_SECOND = 100;

/** A node that starts more processes and threads a second than that is not idle, whoever starts them. */
const IDLE_A_SECOND = 50;

interface Setting {
  readonly processes: number;
  readonly intervalS: 1 | 5;
  readonly busy: boolean;
}

export const own: Bench = {
  name: "own",
  summary: "what rimon run takes for itself",
  needsRoot: true,
  async run(context) {
    const { quick } = context;
    await timeToReady(context);
    await nodeAlone(context);
    for (const processes of quick ? [1_000] : [100, 1_000, 10_000]) {
      const why = noRoomFor(processes);
      if (why !== undefined) {
        context.leftOut(`*/${processes}`, `${processes} processes`, why);
        continue;
      }
      context.progress(`starting ${processes} processes`);
      const population = await populate(processes);
      try {
        await runAt(context, { processes, intervalS: 1, busy: false });
        if (!quick && processes >= 1_000) await runAt(context, { processes, intervalS: 5, busy: false });
        if (!quick && processes === 1_000) await runAt(context, { processes, intervalS: 1, busy: true });
      } finally {
        await population.end();
      }
    }
  },
};

async function timeToReady(context: BenchContext): Promise<void> {
  const samples: number[] = [];
  const runs = context.quick ? 2 : 5;
  for (let run = 0; run < runs; run++) {
    context.progress(`from start to ready, ${run + 1} of ${runs}`);
    context.signal.throwIfAborted();
    const rimon = await startRimon(context.folder, [`comm:${PROTECTED}`]);
    samples.push(rimon.readyMs / 1_000);
    if (run === 0 && rimon.blind.length > 0)
      context.leftOut("sensors", "what these sensors cost", `not live here: ${rimon.blind.join(", ")}`);
    await rimon.end();
  }
  context.figure({ id: "ready", label: "from start to ready", unit: "s", estimate: spread(samples) });
}

async function nodeAlone(context: BenchContext): Promise<void> {
  context.progress("node alone");
  const node = new Service(process.execPath, ["-e", "setInterval(() => {}, 1000); console.log('up')"]);
  try {
    await node.hear((line) => line);
    await pause(1_000, context.signal);
    const cpu = await percentOfCore(context, node.pid, context.quick ? 2_000 : 5_000);
    context.figure({
      id: "node-alone/cpu",
      label: ["node that does nothing", "CPU of one core"],
      unit: "%",
      estimate: exactly(cpu),
      better: "neither",
    });
    context.figure({
      id: "node-alone/resident",
      label: ["node that does nothing", "resident"],
      unit: "MB",
      estimate: exactly(residentOf(node.pid) / 1e6),
      better: "neither",
    });
  } finally {
    await node.end();
  }
}

async function runAt(context: BenchContext, { processes, intervalS, busy }: Setting): Promise<void> {
  const { folder, quick, signal } = context;
  const words = `${processes} processes, every ${intervalS} s, ${busy ? "busy" : "idle"}`;
  const id = `${processes}/${intervalS}s/${busy ? "busy" : "idle"}`;
  context.progress(words);
  const holder = await startSubject(folder, PROTECTED);
  const rimon = await startRimon(folder, [`comm:${PROTECTED}`], { intervalMs: intervalS * 1_000 });
  try {
    await pause(SETTLED_MS, signal);
    // Each of whole intervals, so that each has as many passes as the others.
    const windows = intervalS === 5 ? 2 : 3;
    const windowMs = quick ? 1_000 : intervalS === 5 ? 5_000 : 2_000;
    const load = busy ? startLoad(folder, windows * windowMs) : undefined;
    const cpu: number[] = [];
    const resident: number[] = [];
    const [forksBefore, began] = [forksOfNode(), performance.now()];
    for (let window = 0; window < windows; window++) {
      context.progress(`${words}: ${window + 1} of ${windows}`);
      cpu.push(await percentOfCore(context, rimon.pid, windowMs));
      resident.push(residentOf(rimon.pid) / 1e6);
    }
    await load;
    const forks = ((forksOfNode() - forksBefore) / (performance.now() - began)) * 1_000;
    if (!busy && forks > IDLE_A_SECOND) {
      const others = `this node was not idle: others started ${Math.round(forks)} processes and threads a second`;
      context.leftOut(`cpu/${id}`, `CPU, ${words}`, others);
    } else context.figure({ id: `cpu/${id}`, label: [words, "CPU of one core"], unit: "%", estimate: spread(cpu) });
    context.figure({ id: `resident/${id}`, label: [words, "resident"], unit: "MB", estimate: spread(resident) });
  } finally {
    await rimon.end();
    await holder.end();
  }
}

/** Processes and threads started since boot, proc_stat(5). */
function forksOfNode(): number {
  return Number(/^processes (\d+)$/m.exec(readFileSync("/proc/stat", "latin1"))?.[1]);
}

/** Programs that start and end, evenly. */
async function startLoad(folder: string, ms: number): Promise<void> {
  const load = await startSubject(folder);
  await load.loop("forkExec", { ms, perSecond: BUSY_A_SECOND }).finally(() => load.end());
}

async function percentOfCore({ signal }: BenchContext, pid: number, ms: number): Promise<number> {
  const [cpu, began] = [cpuOf(pid), process.hrtime.bigint()];
  await pause(ms, signal);
  return ((cpuOf(pid) - cpu) / Number(process.hrtime.bigint() - began)) * 100;
}

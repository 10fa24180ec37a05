// How many events a second are held without a loss: those that concern nobody, and those that do. Beyond that, what is
// lost, and whether it was told.

import { startHost, type Host } from "./hosts.ts";
import type { HostCounts } from "./host.ts";
import { pause } from "./monitors.ts";
import type { LoopName, LoopOptions } from "./primitives.ts";
import type { Bench, BenchContext } from "./result.ts";
import { exactly } from "./statistics.ts";
import { startSubject, type Subject } from "./subjects.ts";

const QUIET_FOR_MS = 400;
const DRAINED_WITHIN_MS = 120_000;
/** Longer than the kernel keeps repeats of one reader to itself. */
const REPEATS_MS = 300;
const BURST_CALLS = 2_000;
/** More than the kernel keeps for a monitor that does not take them. */
const UNHEARD_CALLS = 10_000;
const UNHEARD_MS = 10_000;

interface Storm {
  readonly name: string;
  readonly label: string;
  readonly loop: LoopName;
  readonly threads: number;
  /** Of all threads; undefined: as fast as it goes. */
  readonly rates: readonly (number | undefined)[];
  /** Whether each act is one that the monitor has to see. */
  readonly matching: boolean;
  readonly on: "protected" | "other";
  /** The monitor stands still meanwhile, so that something has to be lost. */
  readonly unheard?: true;
}

const STORMS: readonly Storm[] = [
  {
    name: "other-calls",
    label: "system calls that concern nobody",
    loop: "getppid",
    threads: 1,
    rates: [undefined],
    matching: false,
    on: "other",
  },
  {
    name: "other-reads",
    label: "reads of memory that concern nobody",
    loop: "readMemory",
    threads: 1,
    rates: [undefined],
    matching: false,
    on: "other",
  },
  {
    name: "programs",
    label: "programs started that concern nobody",
    loop: "forkExec",
    threads: 2,
    rates: [200, 500, 1_000, undefined],
    matching: false,
    on: "other",
  },
  {
    name: "reads",
    label: "reads of protected memory, all by one process",
    loop: "readMemory",
    threads: 1,
    rates: [10_000, 100_000, undefined],
    matching: true,
    on: "protected",
  },
  {
    name: "readers",
    label: "reads of protected memory, each by a process of its own",
    loop: "forkRead",
    threads: 1,
    rates: [100, 300, 1_000, 2_000, undefined],
    matching: true,
    on: "protected",
  },
  {
    name: "unheard",
    label: "the same while the monitor is stopped (SIGSTOP)",
    loop: "forkRead",
    threads: 2,
    rates: [undefined],
    matching: true,
    on: "protected",
    unheard: true,
  },
];

interface Step {
  readonly acts: number;
  readonly perSecond: number;
  readonly wallNs: number;
  readonly seen: number;
  readonly losses: number;
  readonly lost: number;
  readonly blind: number;
  readonly cpuNs: number;
  /** From the end of the storm until it was taken in. */
  readonly behindMs: number;
}

export const storm: Bench = {
  name: "storm",
  summary: "events a second that are held without a loss, and what is told of a loss",
  needsRoot: true,
  async run(context) {
    const name = `rimon-b-${process.pid}`;
    const [target, other, loader] = await Promise.all([
      startSubject(context.folder, name),
      startSubject(context.folder),
      startSubject(context.folder),
    ]);
    let host: Host | undefined;
    try {
      host = await startHost(context.folder, [`comm:${name}`], {});
      const needed = {
        reads: "mmap-lock",
        readers: "mmap-lock",
        unheard: "mmap-lock",
        programs: "proc-connector",
      } as const;
      await settle(host, context);
      for (const storm of STORMS) {
        const sensor = needed[storm.name as keyof typeof needed];
        if (sensor !== undefined && !host.live.includes(sensor)) {
          context.leftOut(storm.name, storm.label, `the sensor ${sensor} is not live here`);
          continue;
        }
        if (storm.unheard === true && context.quick) {
          context.leftOut(storm.name, storm.label, "a quick run has no time for what it leaves behind");
          continue;
        }
        await stormOn(context, storm, host, loader, storm.on === "protected" ? target : other);
      }
    } finally {
      await Promise.all([host?.end(), target.end(), other.end(), loader.end()]);
    }
  },
};

async function stormOn(
  context: BenchContext,
  storm: Storm,
  host: Host,
  loader: Subject,
  { pid, address }: Subject,
): Promise<void> {
  const { name, label, matching, threads } = storm;
  const rates = context.quick
    ? storm.rates.filter((_, index) => index % 2 === 1 || storm.rates.length < 2)
    : storm.rates;
  let held: Step | undefined;
  let burst: Step | undefined;
  let beyond: Step | undefined;
  let untold = 0;
  for (const rate of rates) {
    context.progress(`${label}, ${rate === undefined ? "as fast as it goes" : `${rate} a second`}`);
    context.signal.throwIfAborted();
    const options = {
      threads,
      // As fast as it goes is a burst: what it leaves behind has to be worked off.
      ...(rate === undefined && matching ? { calls: storm.unheard === true ? UNHEARD_CALLS : BURST_CALLS } : {}),
      ms: storm.unheard === true ? UNHEARD_MS : context.quick || rate === undefined ? 500 : 1_500,
      pid,
      address,
      ...(rate === undefined ? {} : { perSecond: Math.max(1, Math.round(rate / threads)) }),
    };
    const step = await stepOf(context, storm, host, loader, options);
    if (matching) untold = Math.max(untold, untoldOf(step));
    const isWhole = step.losses === 0 && (!matching || step.seen >= step.acts);
    if (!isWhole) beyond ??= step;
    else if (burst === undefined || step.perSecond > burst.perSecond) burst = step;
    // For good only what takes no longer to be looked at than to be done.
    const keepsUp = isWhole && step.cpuNs < step.wallNs;
    if (keepsUp && (held === undefined || step.perSecond > held.perSecond)) held = step;
  }
  if (storm.unheard !== true) tellHeld(context, storm, held, burst);
  if (!matching) return;
  context.figure({
    id: `${name}/untold`,
    label: [label, "lost untold"],
    unit: "events",
    estimate: exactly(untold),
  });
  if (beyond === undefined) return;
  context.figure({
    id: `${name}/lost`,
    label: `${label}, lost at ${Math.round(beyond.perSecond)} a second (told: ${beyond.lost} events, ${beyond.losses} notices)`,
    unit: "% of all",
    estimate: exactly((Math.max(0, beyond.acts - beyond.seen) / beyond.acts) * 100),
    better: "neither",
  });
}

function tellHeld(
  context: BenchContext,
  { name, label }: Storm,
  held: Step | undefined,
  burst: Step | undefined,
): void {
  context.figure({
    id: `${name}/held`,
    label: [label, "held for good"],
    unit: "a second",
    estimate: exactly(held?.perSecond ?? 0),
    better: "higher",
  });
  context.figure({
    id: `${name}/burst`,
    label: [label, "in a burst"],
    unit: "a second",
    estimate: exactly(burst?.perSecond ?? 0),
    better: "higher",
  });
  if (burst !== undefined && burst !== held)
    context.figure({
      id: `${name}/behind`,
      label: [label, "burst taken in after"],
      unit: "s",
      estimate: exactly(burst.behindMs / 1_000),
    });
  const costly = held ?? burst;
  if (costly !== undefined)
    context.figure({
      id: `${name}/cpu`,
      label: [label, "CPU for each"],
      unit: "µs",
      estimate: exactly(costly.cpuNs / costly.acts / 1_000),
    });
}

/** What was not seen, less what was told to be lost; a loss that made no finding was not told. */
function untoldOf({ acts, seen, lost, blind, losses }: Step): number {
  const missing = Math.max(0, acts - seen);
  return losses > 0 && blind === 0 ? missing : Math.max(0, missing - lost);
}

async function stepOf(
  context: BenchContext,
  { loop, matching, unheard }: Storm,
  host: Host,
  loader: Subject,
  options: LoopOptions & { readonly pid: number; readonly address: bigint },
): Promise<Step> {
  const before = await settle(host, context);
  const { calls, wallNs } = await (unheard === true
    ? whileStopped(host, () => loader.loop(loop, options))
    : loader.loop(loop, options));
  let acts = calls;
  if (matching) {
    // The kernel counts repeats and tells them with the next act.
    await pause(REPEATS_MS, context.signal);
    acts += (await loader.loop("readMemory", { calls: 1, pid: options.pid, address: options.address })).calls;
  }
  const stormedAt = performance.now();
  const after = await settle(host, context);
  const risen = (count: keyof HostCounts): number => after[count] - before[count];
  return {
    acts,
    perSecond: (calls / wallNs) * 1e9,
    wallNs,
    seen: risen("touches"),
    losses: risen("losses"),
    lost: risen("lost"),
    blind: risen("blind"),
    cpuNs: risen("cpuNs"),
    // The last look was there to see that nothing came any more.
    behindMs: Math.max(0, performance.now() - stormedAt - QUIET_FOR_MS),
  };
}

/** It is a child of ours that we have not waited for, so its pid is its own. */
async function whileStopped<T>({ pid }: Host, act: () => Promise<T>): Promise<T> {
  process.kill(pid, "SIGSTOP");
  try {
    return await act();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

/** Until the monitor has taken in what there was. */
async function settle(host: Host, { signal }: BenchContext): Promise<HostCounts> {
  const until = performance.now() + DRAINED_WITHIN_MS;
  let last = await host.counts();
  for (;;) {
    await pause(QUIET_FOR_MS, signal);
    const next = await host.counts();
    const isQuiet = next.touches === last.touches && next.findings === last.findings && next.lost === last.lost;
    if (isQuiet || performance.now() > until) return next;
    last = next;
  }
}

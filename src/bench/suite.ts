// Runs the benches one after another and makes their figures one result.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RimonError, reasonOf } from "../errors.ts";
import { requireAddon } from "../native.ts";
import { VERSION } from "../package.ts";
import { BENCHES } from "./all.ts";
import { claimsOf, coresNeeded } from "./claims.ts";
import { describeMachine, listenForNoise, noiseWarnings } from "./machine.ts";
import { RESULT_VERSION, type Bench, type Figure, type FigureOptions, type LeftOut, type Result } from "./result.ts";
import { quantile } from "./statistics.ts";

export interface SuiteOptions {
  readonly only?: readonly string[];
  readonly quick: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (doing: string) => void;
  /** Told of each bench when it is done. */
  readonly onBench: (bench: Bench, figures: readonly Figure[], leftOut: readonly LeftOut[], seconds: number) => void;
}

export async function runSuite(options: SuiteOptions): Promise<Result> {
  const { quick, signal, onProgress } = options;
  const benches = choose(options.only);
  requireAddon();
  const time = new Date();
  onProgress("looking how quiet the machine is");
  const machine = describeMachine();
  const quiet = listenForNoise();
  const figures: Figure[] = [];
  const leftOut: LeftOut[] = [];
  for (const [index, bench] of benches.entries()) {
    signal.throwIfAborted();
    if (bench.needsRoot === true && process.getuid?.() !== 0) {
      const left = { bench: bench.name, figures: `${bench.name}/`, what: "all of it", why: "it needs root" };
      leftOut.push(left);
      options.onBench(bench, [], [left], 0);
      continue;
    }
    const folder = await mkdtemp(join(tmpdir(), "rimon-bench-"));
    const before = { figures: figures.length, leftOut: leftOut.length };
    const began = performance.now();
    try {
      await bench.run({
        quick,
        signal,
        folder,
        progress: (doing) => onProgress(`${index + 1} of ${benches.length}: ${bench.name}: ${doing}`),
        figure: (each) => void figures.push(figureOf(bench.name, each)),
        measured: (id) => figures.find((each) => each.id === id),
        leftOut: (ids, what, why) =>
          void leftOut.push({ bench: bench.name, figures: `${bench.name}/${ids}`, what, why }),
      });
    } catch (thrown) {
      signal.throwIfAborted();
      // The others are worth having all the same; what is missing is named, and a bound on it is broken.
      leftOut.push({
        bench: bench.name,
        figures: `${bench.name}/`,
        what: "what was still to come",
        why: reasonOf(thrown),
        failed: true,
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    const seconds = (performance.now() - began) / 1_000;
    options.onBench(bench, figures.slice(before.figures), leftOut.slice(before.leftOut), seconds);
  }
  return {
    type: "bench",
    version: RESULT_VERSION,
    rimon: VERSION,
    time: time.toISOString(),
    seconds: Math.round((Date.now() - time.getTime()) / 1_000),
    quick,
    benches: benches.map(({ name }) => name),
    machine,
    warnings: noiseWarnings(machine, quiet.jitter, quiet.stolen()),
    figures,
    claims: claimsOf(figures),
    cores: coresNeeded(figures),
    leftOut,
  };
}

function choose(only: readonly string[] | undefined): readonly Bench[] {
  const unknown = only?.find((name) => !BENCHES.some((bench) => bench.name === name));
  if (unknown !== undefined) {
    const names = BENCHES.map(({ name }) => name).join(", ");
    throw new RimonError("RIMON_USAGE", `there is no bench "${unknown}"; expected one of ${names}`);
  }
  return BENCHES.filter(({ name }) => only?.includes(name) ?? true);
}

function figureOf(bench: string, { id, label, unit, estimate, better, interval, samples }: FigureOptions): Figure {
  return {
    id: `${bench}/${id}`,
    ...(typeof label === "string" ? { label } : { label: label.join(", "), cell: label }),
    unit,
    ...estimate,
    better: better ?? "lower",
    interval: interval ?? (estimate.n > 1 ? "quartiles" : "none"),
    ...(samples === undefined
      ? {}
      : { distribution: Array.from({ length: 101 }, (_, percent) => quantile(samples, percent / 100)) }),
  };
}

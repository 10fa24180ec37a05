// The words of the bench, and its result: one JSON file, versioned, that --compare and --check read again.

import { RimonError } from "../errors.ts";
import type { Estimate } from "./statistics.ts";

export const RESULT_VERSION = 1;

/** One number that was measured. */
export interface Figure extends Estimate {
  /** "scan/iterator/1000": the bench, what, and how much of it. */
  readonly id: string;
  readonly label: string;
  /** Its row and column, where figures make a table. */
  readonly cell?: readonly [row: string, column: string];
  readonly unit: string;
  readonly better: "lower" | "higher" | "neither";
  /** What `low` and `high` are. */
  readonly interval: "quartiles" | "95 %" | "none";
  /** Quantiles 0, 1, ... 100 %, where the distribution is of interest. */
  readonly distribution?: readonly number[];
}

/** What was not measured, and why. */
export interface LeftOut {
  readonly bench: string;
  /** The figures that are missing for it, by the beginning of their ids; a * stands for any one part. */
  readonly figures: string;
  readonly what: string;
  readonly why: string;
  /** It should have been measured, and went wrong. */
  readonly failed?: true;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  /** Those of the CPU's features that matter to ciphers. */
  readonly features: readonly string[];
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly arch: string;
  readonly node: string;
  readonly openssl: string;
  readonly governor: string | null;
  /** null: not known. */
  readonly virtual: boolean | null;
  /** Of one minute, when the bench began. */
  readonly load: number;
  readonly processes: number;
}

/** What was claimed of the cost of encryption, keys and monitoring, beside what is so here. */
export interface Claim {
  readonly claim: string;
  readonly measured: string;
  /** null: not measured. */
  readonly holds: boolean | null;
  readonly verdict: string;
}

/** How many cores of this machine it would take. */
export interface CoresNeeded {
  readonly gbitPerSecond: number;
  readonly encryption: number;
  readonly keyDerivation: number;
  /** null: not measured. */
  readonly rimon: number | null;
}

export interface Result {
  readonly type: "bench";
  readonly version: typeof RESULT_VERSION;
  readonly rimon: string;
  readonly time: string;
  readonly seconds: number;
  readonly quick: boolean;
  readonly benches: readonly string[];
  readonly machine: Machine;
  readonly warnings: readonly string[];
  readonly figures: readonly Figure[];
  readonly claims: readonly Claim[];
  readonly cores: readonly CoresNeeded[];
  readonly leftOut: readonly LeftOut[];
}

export interface BenchContext {
  /** Fewer runs, smaller sizes. */
  readonly quick: boolean;
  readonly signal: AbortSignal;
  /** A folder of the bench's own that goes away. */
  readonly folder: string;
  progress(doing: string): void;
  figure(figure: FigureOptions): void;
  /** Figures of the benches that ran before. */
  measured(id: string): Figure | undefined;
  /** `figures` without the bench; "" for all of it. */
  leftOut(figures: string, what: string, why: string): void;
}

export interface FigureOptions {
  readonly id: string;
  /** Or its row and column, where figures make a table. */
  readonly label: string | readonly [row: string, column: string];
  readonly unit: string;
  readonly estimate: Estimate;
  readonly better?: Figure["better"];
  readonly interval?: Figure["interval"];
  readonly samples?: readonly number[];
}

export interface Bench {
  readonly name: string;
  readonly summary: string;
  readonly needsRoot?: true;
  run(context: BenchContext): Promise<void>;
}

/** Reads a result of an earlier run, or says what is wrong with it. */
export function parseResult(text: string, file: string): Result {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RimonError("RIMON_USAGE", `${file}: expected the JSON that rimon bench --json writes`);
  }
  const { type, version, figures } = (value ?? {}) as Partial<Result>;
  if (type !== "bench" || version !== RESULT_VERSION || !Array.isArray(figures) || !figures.every(isFigure)) {
    throw new RimonError(
      "RIMON_USAGE",
      `${file}: expected a result of rimon bench of version ${RESULT_VERSION}, got type ${String(type)}, version ${String(version)}`,
    );
  }
  return value as Result;
}

function isFigure(value: unknown): value is Figure {
  if (typeof value !== "object" || value === null) return false;
  const { id, unit, value: number, low, high, better } = value as Partial<Figure>;
  return (
    typeof id === "string" &&
    typeof unit === "string" &&
    [number, low, high].every((each) => typeof each === "number") &&
    (better === "lower" || better === "higher" || better === "neither")
  );
}

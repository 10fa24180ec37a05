// Figures and results as a run makes them, with everything beside the point filled in.

import type { Figure, LeftOut, Result } from "../../src/bench/result.ts";

export function figure(id: string, value: number, rest: Partial<Figure> = {}): Figure {
  return {
    id,
    label: id,
    unit: "µs",
    value,
    low: value,
    high: value,
    n: 5,
    better: "lower",
    interval: "quartiles",
    ...rest,
  };
}

export function leftOut(figures: string, rest: Partial<LeftOut> = {}): LeftOut {
  return { bench: figures.split("/")[0] ?? "", figures, what: "something", why: "it is not installed", ...rest };
}

export function result(figures: readonly Figure[], rest: Partial<Result> = {}): Result {
  return {
    type: "bench",
    version: 1,
    rimon: "0.1.0",
    time: "2026-11-29T00:00:00.000Z",
    seconds: 1,
    quick: false,
    benches: [...new Set(figures.map(({ id }) => id.split("/")[0] ?? ""))],
    machine: {
      cpu: "a CPU",
      cores: 2,
      features: [],
      memoryBytes: 1,
      kernel: "6.1",
      arch: "x64",
      node: "20.20.2",
      openssl: "3.0.19",
      governor: null,
      virtual: true,
      load: 0,
      processes: 100,
    },
    warnings: [],
    figures,
    claims: [],
    cores: [],
    leftOut: [],
    ...rest,
  };
}

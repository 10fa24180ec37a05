// What many runs say together. Pure; chance comes from a seed, so that the same runs always give the same figures.

/** A value and how sure it is. */
export interface Estimate {
  readonly value: number;
  /** The quartiles of single runs, or the ends of a 95 % confidence interval of a ratio. */
  readonly low: number;
  readonly high: number;
  /** Runs, or pairs of runs. */
  readonly n: number;
}

/** Enough for the ends of a 95 % interval to stand still. */
const RESAMPLINGS = 2_000;

/** The value below which the part `q` lies, between two samples if need be (type 7 of Hyndman and Fan). */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  if (below === undefined || above === undefined) throw new RangeError("there is no quantile of no samples");
  return below + (above - below) * (at - Math.floor(at));
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** The median, and between which values half of the runs were. */
export function spread(samples: readonly number[]): Estimate {
  return { value: median(samples), low: quantile(samples, 0.25), high: quantile(samples, 0.75), n: samples.length };
}

/** Something measured once, or counted. */
export function exactly(value: number): Estimate {
  return { value, low: value, high: value, n: 1 };
}

/** One run of each, right after one another, so that what disturbs the machine disturbs both. */
export interface Pair {
  readonly of: number;
  readonly against: number;
}

/** The median of the ratios of pairs, with a 95 % confidence interval by bootstrap over the pairs. */
export function ratioOf(pairs: readonly Pair[], seed = 1): Estimate {
  return medianOf(
    pairs.map(({ of, against }) => of / against),
    seed,
  );
}

/** The median of what the one is more than the other, likewise. */
export function differenceOf(pairs: readonly Pair[], seed = 1): Estimate {
  return medianOf(
    pairs.map(({ of, against }) => of - against),
    seed,
  );
}

function medianOf(values: readonly number[], seed: number): Estimate {
  const random = randomFrom(seed);
  const medians = Array.from({ length: RESAMPLINGS }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] ?? Number.NaN)),
  );
  return { value: median(values), low: quantile(medians, 0.025), high: quantile(medians, 0.975), n: values.length };
}

/** The same figure in another unit; a change that turns the order turns the interval too. */
export function mapped({ value, low, high, n }: Estimate, change: (value: number) => number): Estimate {
  const ends = [change(low), change(high)] as const;
  return { value: change(value), low: Math.min(...ends), high: Math.max(...ends), n };
}

/** 0 to 1, from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same things in another order. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const left = [...items];
  return items.flatMap(() => left.splice(Math.floor(random() * left.length), 1));
}

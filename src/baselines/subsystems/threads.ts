import { bits, countedLinesOf, decimal, Malformed, type Facts, type Subsystem } from "../subsystem.ts";

/** What of a thread's status decides what it may do, in this order on its line of the text. */
export const THREAD_FIELDS = ["CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters"] as const;

const NAME = "threads";

/**
 * The kernel keeps rights for each thread, and they need not be those of the first one. Threads come and go: what is
 * compared is how much the freest of them may do.
 */
export const threads: Subsystem = {
  name: NAME,
  of: "process",
  sees: "the capabilities, NoNewPrivs and seccomp of every thread of a process: what the freest of them may do",
  texts: [NAME],
  facts({ threads: text = "" }) {
    const all = countedLinesOf(NAME, text, NAME).map(parse);
    if (all.length === 0) throw new Malformed(NAME, "it must have a line for each thread");
    const union = (of: (thread: Thread) => bigint): string =>
      all
        .reduce((sum, thread) => sum | of(thread), 0n)
        .toString(16)
        .padStart(16, "0");
    const least = (of: (thread: Thread) => number | undefined): Facts[string] => {
      const known = all.flatMap((thread) => of(thread) ?? []);
      return known.length < all.length ? "unknown" : String(Math.min(...known));
    };
    return {
      "capabilities of any thread": union(({ capabilities }) => capabilities),
      "bounding set of any thread": union(({ bounding }) => bounding),
      "NoNewPrivs of every thread": least(({ noNewPrivs }) => noNewPrivs),
      // Strict is 1 and allows less than a filter, which is 2; without either it is 0.
      "a thread without seccomp": all.some(({ seccomp }) => seccomp === 0) ? "there is one" : "none",
      "fewest filters of a thread": least(({ filters }) => filters),
    };
  },
};

interface Thread {
  readonly capabilities: bigint;
  readonly bounding: bigint;
  /** Undefined on kernels that do not say. */
  readonly noNewPrivs?: number;
  readonly seccomp?: number;
  readonly filters?: number;
}

function parse(line: string, index: number): Thread {
  const values = line.split(" ");
  if (values.length !== THREAD_FIELDS.length)
    throw new Malformed(NAME, `line ${index + 1} must have ${THREAD_FIELDS.length} values, got ${values.length}`);
  const [permitted = "", effective = "", bounding = "", noNewPrivs, seccomp, filters] = values;
  const number = (value: string | undefined, what: string): number | undefined =>
    value === undefined || value === "-" ? undefined : decimal(NAME, what, value);
  const [privileges, mode, count] = [
    number(noNewPrivs, "NoNewPrivs"),
    number(seccomp, "Seccomp"),
    number(filters, "Seccomp_filters"),
  ];
  return {
    capabilities: bits(NAME, "CapPrm", permitted) | bits(NAME, "CapEff", effective),
    bounding: bits(NAME, "CapBnd", bounding),
    ...(privileges === undefined ? {} : { noNewPrivs: privileges }),
    ...(mode === undefined ? {} : { seccomp: mode }),
    ...(count === undefined ? {} : { filters: count }),
  };
}

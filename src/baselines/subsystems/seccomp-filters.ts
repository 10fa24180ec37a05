import { counted, countedLinesOf, Malformed, type Subsystem } from "../subsystem.ts";

export interface ReadFilter {
  readonly instructions: number;
  readonly sha256: string;
}

const LINE = /^(\d{1,5}) ([0-9a-f]{64})$/;

/** The text "seccomp-filters", the oldest first. */
export function seccompFiltersText(oldestFirst: readonly ReadFilter[]): string {
  return counted(
    oldestFirst.map(({ instructions, sha256 }) => `${instructions} ${sha256}`),
    "filters",
  );
}

export const seccompFilters: Subsystem = {
  name: "seccomp-filters",
  of: "process",
  sees: "the instructions of a process's seccomp filters; it is stopped for a moment, as by a debugger",
  texts: ["seccomp-filters"],
  onRequest: true,
  facts({ "seccomp-filters": text = "" }) {
    return Object.fromEntries(
      countedLinesOf("seccomp-filters", text, "filters").map((line, index) => {
        const [, instructions, sha256] = LINE.exec(line) ?? [];
        if (instructions === undefined)
          throw new Malformed("seccomp-filters", `line ${index + 1} is none that rimon writes`);
        return [`filter ${index + 1}`, `${instructions} instructions, sha256 ${sha256}`];
      }),
    );
  },
  rule({ expected }) {
    return expected === undefined ? undefined : "a seccomp filter is never changed nor taken off";
  },
};

// What can be wrong with a configuration file, where it stands, and how it is told.

import { RimonError } from "../errors.ts";

const MAX_PROBLEMS = 100;

export type Path = readonly (string | number)[];

export interface Problem {
  readonly path: Path;
  /** Whether the key or the value is the trouble. */
  readonly at: "key" | "value";
  /** Reads on from the path: "must be ...", "is ...". */
  readonly message: string;
}

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A problem as it is told: a whole sentence at its place. */
export type Located = Position & { readonly message: string };

/** One RIMON_CONFIG error that tells every problem, in the order of the file. */
export function errorOf(problems: readonly Located[], file: string): RimonError {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const told = sorted
    .slice(0, MAX_PROBLEMS)
    .map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`);
  if (sorted.length > told.length) told.push(`${file}: and ${sorted.length - told.length} more problems`);
  return new RimonError("RIMON_CONFIG", told.join("\n"));
}

/** A path as messages show it: alerts.clusterAdmins[0].webhook. */
export function formatPath(path: Path): string {
  return path
    .map((step, index) => {
      if (typeof step === "number") return `[${step}]`;
      if (!/^[\w-]{1,64}$/.test(step)) return `[${quote(step)}]`;
      return index === 0 ? step : `.${step}`;
    })
    .join("");
}

/** Text as a message shows it: quoted, escaped, and not longer than a line. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

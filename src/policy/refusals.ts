// What mode enforce refuses in the kernel, to whom it never does, and which sensor has to be live for it.

import type { Configuration, Exempt, NodeOperation } from "../configuration.ts";
import type { Process } from "../observation.ts";
import { matches } from "../protection.ts";

/** The sensor whose kernel side refuses the acts of a rule; the acts of any other rule are only told. */
const REFUSED_BY: Readonly<Record<string, string>> = {
  "memory-read": "mmap-lock",
  "ptrace-attach": "ptrace-access",
};
export const REFUSABLE: readonly string[] = Object.keys(REFUSED_BY);

/** The same of what concerns no process: core_pattern and suid_dumpable written; /proc/kcore and /dev/mem opened. */
const NODE_REFUSED_BY: Readonly<Record<NodeOperation, string>> = {
  "core-pattern": "sysctl",
  "machine-memory": "ptrace-access",
};
export const NODE_REFUSABLE = Object.keys(NODE_REFUSED_BY) as readonly NodeOperation[];

/** The rules whose acts on this process are refused; none where the mode is not enforce. */
export function refusalsOf({ mode, enforce }: Configuration, process: Process | undefined): readonly string[] {
  if (mode !== "enforce" || process === undefined) return [];
  const meant = enforce.filter(({ protect }) => protect !== undefined && matches(protect, process));
  return [...new Set(meant.flatMap(({ operations }) => operations))].filter((rule) => REFUSABLE.includes(rule));
}

/** The rules whose acts are refused on some process or other. */
export function refusedRulesOf({ mode, enforce }: Pick<Configuration, "mode" | "enforce">): readonly string[] {
  if (mode !== "enforce") return [];
  const wanted = enforce.filter(({ protect }) => protect !== undefined).flatMap(({ operations }) => operations);
  return REFUSABLE.filter((rule) => (wanted as readonly string[]).includes(rule));
}

/** What is refused to everybody on the node; nothing where the mode is not enforce. */
export function nodeRefusalsOf({ mode, enforce }: Pick<Configuration, "mode" | "enforce">): readonly NodeOperation[] {
  if (mode !== "enforce") return [];
  const wanted = enforce.filter(({ protect }) => protect === undefined).flatMap(({ operations }) => operations);
  return NODE_REFUSABLE.filter((operation) => wanted.includes(operation));
}

/**
 * The executables that exceptions of this rule spare. The kernel side knows an executable and nothing else of a
 * reader: an exception with any further condition (a target, a uid, a comm, a parent) spares nobody there, since it
 * would spare too many.
 */
export function exemptionsOf({ exceptions }: Pick<Configuration, "exceptions">, rule: string, now: number): Exempt[] {
  return exceptions.flatMap(({ rule: of, suspect, target, expires }) => {
    if (of !== rule || target !== undefined || suspect?.exe === undefined || suspect.sha256 === undefined) return [];
    if (suspect.uid !== undefined || suspect.comm !== undefined || suspect.parent !== undefined) return [];
    // An instant that cannot be read has no future.
    if (expires !== undefined && !(now < Date.parse(expires))) return [];
    return [{ exe: suspect.exe, sha256: suspect.sha256.toLowerCase() }];
  });
}

/** Why what the configuration wants refused is not: a sentence, or undefined if all of it is or nothing is wanted. */
export function notRefused(
  { mode, enforce }: Pick<Configuration, "mode" | "enforce">,
  isLive: (sensor: string) => boolean,
): string | undefined {
  if (mode !== "enforce") return undefined;
  const wanted = new Set(enforce.flatMap(({ operations }) => operations));
  const idle = Object.entries({ ...REFUSED_BY, ...NODE_REFUSED_BY }).filter(
    ([operation, sensor]) => wanted.has(operation) && !isLive(sensor),
  );
  if (idle.length === 0) return undefined;
  const named = idle.map(([operation, sensor]) => `${operation} (the sensor ${sensor} is not live)`);
  return `The mode is enforce, but this is told and not refused: ${named.join(", ")}.`;
}

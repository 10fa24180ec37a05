// One thing that is looked at: which texts of the kernel it is made of, and what in them must stay as it was. Raw texts
// change all day (addresses, counters); what is decided on are facts read out of them.

import type { Change, Verdict } from "../isolation-changed.ts";

/** The texts a source has, by name. Those of a process first. */
export const PROCESS_TEXTS = [
  "maps",
  "status",
  "cgroup",
  "cgroup-limits",
  "limits",
  "coredump_filter",
  "ns",
  "attr",
  "exe",
  "stat",
  "code",
  "seccomp-filters",
  "threads",
] as const;
export const KERNEL_TEXTS = ["modules", "sysctl", "lsm", "lockdown", "tainted", "cmdline", "bpf"] as const;

export type TextName = (typeof PROCESS_TEXTS)[number] | (typeof KERNEL_TEXTS)[number];
export type Texts = Readonly<Partial<Record<TextName, string>>>;

/** By name, in words or in the kernel's own notation. */
export type Facts = Readonly<Record<string, string>>;

export interface Subsystem {
  readonly name: string;
  readonly of: "process" | "kernel";
  readonly sees: string;
  /** Not looked at unless it is named. */
  readonly onRequest?: true;
  /** It costs so much that nobody looks at it more often, unasked. Milliseconds. */
  readonly everyMs?: number;
  /** It cannot be looked at without these; `optional` ones may be missing on a kernel that has no such thing. */
  readonly texts: readonly TextName[];
  readonly optional?: readonly TextName[];
  /** Throws Malformed. */
  facts(texts: Texts): Facts;
  /** Which changes are for this subsystem to tell; all are, if not given. What is not told may change back. */
  tells?(before: Facts, now: Facts): (change: Change) => boolean;
  /** Which rule of the kernel's own a change breaks, if it breaks one. */
  rule?(change: Change, before: Facts, now: Facts): string | undefined;
  /** What kind of change it is, by where else it shows. */
  verdict?(change: Change, before: Facts, now: Facts): Verdict | undefined;
  /** Rules that what is there breaks by itself, whatever was there before. */
  contradictions?(now: Facts): readonly Change[];
}

/** A text is not what the kernel writes: it was cut, or some of its bits are not what they were. */
export class Malformed extends Error {
  readonly text: TextName;

  constructor(text: TextName, message: string) {
    super(`${text}: ${message}`);
    this.name = "Malformed";
    this.text = text;
  }
}

/** Lines without their ends; what does not end with a newline was cut, and the kernel writes no NUL. */
export function linesOf(name: TextName, text: string): readonly string[] {
  const nul = text.indexOf("\0");
  if (nul >= 0) throw new Malformed(name, `a NUL stands at byte ${nul}`);
  if (text === "") return [];
  if (!text.endsWith("\n")) throw new Malformed(name, "its last line has no end");
  return text.slice(0, -1).split("\n");
}

/** Of a text that rimon writes itself: its last line counts the others, since one that is missing would not show. */
export function countedLinesOf(name: TextName, text: string, what: string): readonly string[] {
  const lines = linesOf(name, text);
  if (lines.at(-1) !== `${lines.length - 1} ${what}`)
    throw new Malformed(name, `it must end with "${Math.max(0, lines.length - 1)} ${what}"`);
  return lines.slice(0, -1);
}

export function counted(lines: readonly string[], what: string): string {
  return `${lines.map((line) => `${line}\n`).join("")}${lines.length} ${what}\n`;
}

/** Lines of "Name:<tab>value". */
export function fieldsOf(name: TextName, text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const [index, line] of linesOf(name, text).entries()) {
    const colon = line.indexOf(":");
    if (colon <= 0) throw new Malformed(name, `line ${index + 1} has no name: expected "Name: value"`);
    fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return fields;
}

/** Those that are there; a kernel may have fewer. One that every kernel has must be there. */
export function pick(
  name: TextName,
  fields: ReadonlyMap<string, string>,
  needed: readonly string[],
  optional: readonly string[] = [],
): Facts {
  const facts: Record<string, string> = {};
  for (const each of needed) {
    const value = fields.get(each);
    if (value === undefined) throw new Malformed(name, `the line "${each}" is missing`);
    facts[each] = value;
  }
  for (const each of optional) {
    const value = fields.get(each);
    if (value !== undefined) facts[each] = value;
  }
  return facts;
}

/** A number of decimal digits. */
export function decimal(name: TextName, what: string, value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new Malformed(name, `${what} must be a number, got ${JSON.stringify(value)}`);
  return Number(value);
}

/** A set of bits in hexadecimal digits. */
export function bits(name: TextName, what: string, value: string): bigint {
  if (!/^[0-9a-f]{1,16}$/.test(value))
    throw new Malformed(name, `${what} must be hexadecimal digits, got ${JSON.stringify(value)}`);
  return BigInt(`0x${value}`);
}

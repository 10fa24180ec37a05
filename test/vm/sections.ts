// What tests of a whole machine have in common: a script in sections, with rimon in it, and what came of each.

import assert from "node:assert/strict";
import type { Finding } from "../../src/finding.ts";
import { runInGuest, type GuestOptions } from "./guest.ts";

const SECTION = "@@section ";

export type Sections = ReadonlyMap<string, readonly string[]>;

/**
 * For busybox's shell. `section NAME` begins one; `told PATTERN` waits until one of rimon's records has it, and ends the
 * script with what rimon said if rimon ends first: its pid is in `rimon`, its output in the files records and errors.
 */
export const SHELL = `
section() { echo '${SECTION}'$1; }
told() {
  for _ in $(seq 600); do
    grep -q "$1" records && return
    kill -0 $rimon || break
    sleep 0.2
  done
  echo "no record of $1" >&2
  cat errors records >&2
  exit 1
}
`;

/** The lines of each section. */
export function sectionsOf(lines: readonly string[]): Sections {
  const sections = new Map<string, string[]>();
  let section: string[] = [];
  for (const line of lines) {
    if (line.startsWith(SECTION)) sections.set(line.slice(SECTION.length), (section = []));
    else section.push(line);
  }
  return sections;
}

/** Runs the script, which has to end well. */
export async function runSections(options: GuestOptions): Promise<Sections> {
  const run = await runInGuest({ ...options, script: `${SHELL}${options.script}` });
  assert.equal(run.code, 0, `${run.lines.join("\n")}\n${run.console}`);
  return sectionsOf(run.lines);
}

/** Of lines that each begin with the name of what was tried. */
export function outcomesOf(lines: readonly string[] = []): Readonly<Record<string, string>> {
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]));
}

/** What these sensors told, without what differs from run to run. */
export function findingsOf(lines: readonly string[] = [], ...sensors: readonly string[]): string[] {
  return lines
    .map((line) => JSON.parse(line) as Finding)
    .filter(({ sensor }) => sensors.includes(sensor))
    .map(({ rule, operation, message }) => `${rule} ${operation}: ${message.replace(/\d+/g, "N")}`);
}

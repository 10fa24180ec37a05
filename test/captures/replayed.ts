// A capture through the same analysis that a live node takes.

import type { Finding, Severity, Verdict } from "../../src/finding.ts";
import { DETECTORS } from "../../src/detectors/all.ts";
import { parseConfiguration } from "../../src/policy/config.ts";
import { replay } from "../../src/replay.ts";

/** Every capture is of a node on which this is protected. */
const CONFIGURATION = 'protect: ["comm:vault"]\n';

/** What a capture's .findings.json says of each finding, in order. */
export interface Summary {
  readonly rule: string;
  readonly severity: Severity;
  readonly technique: string;
  readonly suspectComm: string | null;
  readonly targetComm: string | null;
}

export function summaryOf({ rule, severity, technique, suspect, target }: Finding): Summary {
  return { rule, severity, technique, suspectComm: suspect?.comm ?? null, targetComm: target?.comm ?? null };
}

export async function replayed(lines: readonly string[], name: string): Promise<Verdict[]> {
  const { configuration } = parseConfiguration(CONFIGURATION, {
    file: "captures.yaml",
    rules: DETECTORS.map(({ rule }) => rule),
    severities: Object.fromEntries(DETECTORS.map(({ rule, severity }) => [rule, severity])),
    hostname: "node-1",
    stateDirectory: "/nowhere",
    now: 0,
  });
  const verdicts: Verdict[] = [];
  for await (const verdict of replay(each(lines), configuration, name)) verdicts.push(verdict);
  return verdicts;
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

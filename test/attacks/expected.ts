// What an attack must be answered with, and who was who at that moment.

import assert from "node:assert/strict";
import { readFileSync, readlinkSync } from "node:fs";
import type { Finding, Severity } from "../../src/finding.ts";
import type { Monitor } from "../fixtures/monitor.ts";

export const DEADLINE_MS = 10_000;

/** A live process, by its own /proc files. */
export interface Identity {
  readonly pid: number;
  readonly startTime: number;
  readonly comm: string;
  readonly exe: string;
}

export interface Suspect {
  readonly pid?: number;
  readonly comm: string;
  readonly exe: string;
  /** It ends as soon as it has acted: its file may be unknown then, but never another. */
  readonly brief?: boolean;
}

export interface Expected {
  readonly rule: string;
  readonly severity: Severity;
  readonly technique: string;
  readonly operation?: string;
  /** Undefined: nobody may be named. */
  readonly suspect: Suspect | undefined;
  /** Undefined: it concerns the node. */
  readonly target: Identity | undefined;
}

export function identityOf(pid: number): Identity {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // comm may hold ")" itself.
  const end = stat.lastIndexOf(")");
  return {
    pid,
    startTime: Number(stat.slice(end + 2).split(" ")[19]),
    comm: stat.slice(stat.indexOf("(") + 1, end),
    exe: readlinkSync(`/proc/${pid}/exe`),
  };
}

/** Waits for the first finding of the rule about this suspect and target, and compares what else it says. */
export async function expectFinding(rimon: Monitor, expected: Expected): Promise<Finding> {
  const { rule, severity, technique, operation, suspect, target } = expected;
  const finding = await rimon.waitForFinding(
    rule,
    DEADLINE_MS,
    (each) =>
      each.target?.pid === target?.pid &&
      (suspect?.pid === undefined ? each.suspect?.comm === suspect?.comm : each.suspect?.pid === suspect.pid) &&
      (operation === undefined || each.operation === operation),
  );
  assert.deepEqual(
    {
      severity: finding.severity,
      technique: finding.technique,
      suspect: finding.suspect && { comm: finding.suspect.comm, exe: finding.suspect.exe },
      target: finding.target && {
        pid: finding.target.pid,
        startTime: finding.target.startTime,
        comm: finding.target.comm,
        exe: finding.target.exe,
      },
    },
    {
      severity,
      technique,
      suspect: suspect && {
        comm: suspect.comm,
        exe: suspect.brief === true && finding.suspect?.exe === undefined ? undefined : suspect.exe,
      },
      target,
    },
    finding.message,
  );
  if (finding.suspect) assert.ok(finding.suspect.startTime > 0, "a suspect is a pid with its start time");
  return finding;
}

/** Whatever was found about this target. */
export function findingsAbout(rimon: Monitor, pid: number): Finding[] {
  return rimon.findings().filter(({ target }) => target?.pid === pid);
}

// One attach after another, each by a process of its own, so that each is a finding of its own.

import assert from "node:assert/strict";
import type { Finding, Outcome } from "../../src/finding.ts";
import { startAttack } from "../fixtures/attack.ts";
import type { Monitor, MonitorRecord } from "../fixtures/monitor.ts";
import type { Target } from "../fixtures/target.ts";

export const DEADLINE_MS = 60_000;
/** Long enough for a tracer to be read before it is gone, also on a busy machine. */
const HOLD_MS = 50;

export function isOutcomeOf(finding: string, action: string): (record: MonitorRecord) => record is Outcome {
  return (record): record is Outcome =>
    record.type === "outcome" && (record as Outcome).finding === finding && (record as Outcome).action === action;
}

/** Attaches once and lets go; the pid that did it. */
export async function attachOnce(target: Target): Promise<number> {
  const attack = startAttack("attach", [target.pid, target.address, 8, HOLD_MS]);
  const act = await attack.next();
  assert.equal(act.failed, undefined, act.error);
  await attack.exited;
  return attack.pid;
}

/** Attaches, and waits until rimon found it. */
export async function attachFound(rimon: Monitor, target: Target): Promise<Finding> {
  const pid = await attachOnce(target);
  return rimon.waitForFinding("ptrace-attach", DEADLINE_MS, ({ suspect }) => suspect?.pid === pid);
}

/** Attaches, and waits until the alert was queued or refused. */
export async function attachAlerted(
  rimon: Monitor,
  target: Target,
): Promise<{ readonly finding: Finding; readonly alert: Outcome }> {
  const finding = await attachFound(rimon, target);
  const alert = await rimon.waitFor(isOutcomeOf(finding.id, "alert"), DEADLINE_MS, "the outcome of the alert");
  return { finding, alert };
}

/** A finding about rimon's own trouble whose message matches. */
export function waitForTrouble(rimon: Monitor, message: RegExp): Promise<Finding> {
  return rimon.waitForFinding("monitor-troubled", DEADLINE_MS, (finding) => message.test(finding.message));
}

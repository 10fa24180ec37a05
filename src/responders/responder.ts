// What acts on a verdict. A responder never decides whether: policy did, and the verdict is in the audit log before
// respond() is called. A responder that fails returns a failed Outcome; it never throws and never waits for ever.

import type { Outcome, Verdict } from "../finding.ts";

export interface Responder {
  /** The name policy plans it by: "alert", "capture", "rotate-master-key", ... */
  readonly action: string;
  respond(verdict: Verdict): Promise<Outcome>;
  /** Lets go of sockets, children and timers; waits for what is under way, at most `graceMs`. */
  close?(graceMs: number): Promise<void>;
}

/** The pieces of an Outcome that every responder fills in the same way. */
export function outcomeOf(
  verdict: Verdict,
  action: string,
  startedAt: number,
  now: number,
  result: Outcome["result"],
  message: string,
  details?: Outcome["details"],
): Outcome {
  return {
    type: "outcome",
    version: 1,
    time: new Date(now).toISOString(),
    finding: verdict.finding.id,
    action,
    result,
    message,
    durationMs: now - startedAt,
    ...(details === undefined ? {} : { details }),
  };
}

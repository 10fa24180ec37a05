// What rimon concludes and does: Finding, Verdict, Outcome. These are also the records a machine reads, so a change
// here is a change of a published format: raise FORMAT_VERSION with it.

import type { FileId, Observation, ProcessId } from "./observation.ts";

/** The version of the JSON records `run --json`, the audit log and the alerts carry. */
export const FORMAT_VERSION = 1;

export const SEVERITIES = ["info", "low", "medium", "high", "critical"] as const;
export type Severity = (typeof SEVERITIES)[number];

export function atLeast(severity: Severity, floor: Severity): boolean {
  return SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(floor);
}

/** A process as a finding names it. Whatever could not be read is absent. */
export interface Actor extends ProcessId {
  readonly comm: string;
  readonly exe?: string;
  readonly exeFile?: FileId;
  readonly uid?: number;
  readonly cmdline?: readonly string[];
  readonly cgroup?: string;
  /** Parents, nearest first, up to pid 1. */
  readonly ancestry?: readonly { readonly pid: number; readonly startTime?: number; readonly comm: string }[];
}

/** What a detector says; the spine makes a Finding of it. */
export interface Detection {
  readonly rule: string;
  /** If it differs from the rule's own. */
  readonly severity?: Severity;
  /** The way in: "proc-mem", "ptrace", "core-pattern-write". */
  readonly technique: string;
  /** The act itself: "attach", "open", "read", "write", "dump", "map". */
  readonly operation: string;
  /** Who did it: undefined if the sensor cannot tell. */
  readonly suspect?: { readonly pid: number; readonly startTime?: number };
  /** Whom it was done to: undefined if it concerns the whole node. */
  readonly target?: { readonly pid: number; readonly startTime?: number };
  /** It concerns every protected process, and so every tenant. */
  readonly everyTenant?: boolean;
  /** Tells two subjects of one rule apart where neither suspect nor target does: a path, a sensor's name. */
  readonly subject?: string;
  /** One sentence, past tense, with the names in it. */
  readonly message: string;
  readonly evidence: readonly Observation[];
}

export interface Finding {
  readonly type: "finding";
  readonly version: typeof FORMAT_VERSION;
  /** Sorts by time (a ULID). */
  readonly id: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
  readonly node: string;
  readonly rule: string;
  readonly severity: Severity;
  readonly technique: string;
  readonly operation: string;
  readonly sensor: string;
  readonly suspect?: Actor;
  readonly target?: Actor;
  readonly subject?: string;
  /** Ids of the tenants whose keys the target holds. */
  readonly tenants: readonly string[];
  readonly message: string;
  /** How often it was seen since the group's first finding; 1 for that first one. */
  readonly count: number;
  /** The id of the first finding of its group, if this one reports repeats. */
  readonly repeats?: string;
  readonly evidence: readonly Observation[];
}

/** One thing a verdict asks for, and if it is not to be done, why not. */
export interface PlannedAction {
  readonly action: string;
  readonly allowed: boolean;
  readonly reason?: string;
}

export interface Verdict {
  readonly type: "verdict";
  readonly version: typeof FORMAT_VERSION;
  readonly finding: Finding;
  readonly actions: readonly PlannedAction[];
  /** The reason of the exception that applies; nothing is alerted or done then. */
  readonly exception?: string;
  /** What a person should know about how it was judged: an exception that could not be checked. */
  readonly notes?: readonly string[];
}

export type OutcomeResult = "done" | "failed" | "refused" | "skipped";

export interface Outcome {
  readonly type: "outcome";
  readonly version: typeof FORMAT_VERSION;
  readonly time: string;
  readonly finding: string;
  readonly action: string;
  readonly result: OutcomeResult;
  /** What was achieved or what went wrong, as a sentence. */
  readonly message: string;
  readonly durationMs: number;
  /** What the action reports: epochs, keys evicted, paths written. Never a key. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** Who an alert is for. A tenant sees only itself; the cluster admin sees tenant ids only. */
export type Audience = { readonly kind: "cluster" } | { readonly kind: "tenant"; readonly tenant: string };

// What the exec gate has to tell: an executable that was not allowed, or that could not be judged. A word of its own,
// since observation.ts is long enough.

/** What a denial does: nothing and is no finding; nothing and is one; the exec fails with EPERM. */
export type GateMode = "learn" | "audit" | "enforce";

export type GateReason =
  /** A rule, or what is said for the rest. */
  | "rule"
  /** Somebody had it open for writing: what runs could be something else than what was read. */
  | "written-to"
  /** Its file system was not marked, or cannot be: the gate was not asked. */
  | "unmarked"
  /** The rest: it could not be judged, and was answered as `gate.unanswered` says. Not in time: */
  | "deadline"
  | "too-large"
  | "unreadable"
  /** Its file system knows no leases, so that nothing keeps it as it was read. */
  | "no-lease"
  /** All that can be read at once was being read. */
  | "busy";

export interface ExecJudged {
  readonly kind: "exec.judged";
  readonly at: number;
  readonly sensor: string;
  /** Undefined for one of another pid namespace. */
  readonly pid?: number;
  readonly startTime?: number;
  /** Effective, of who ran it. */
  readonly uid: number;
  readonly mode: GateMode;
  readonly reason: GateReason;
  /** The rule that decided; undefined: none matched. */
  readonly rule?: string;
  /** It failed with EPERM; else it went on. */
  readonly denied: boolean;
  /** Opened by an interpreter or a loader, and not executed. */
  readonly opened: boolean;
  /** As the mounts of who ran it have it. */
  readonly path: string;
  /** The executable that ran it, before. */
  readonly by: string;
  readonly sha256?: string;
  readonly file: { readonly dev: number; readonly inode: number; readonly size: number; readonly owner: number };
  /** The errno name. */
  readonly error?: string;
}

/** For a time nothing was checked: rimon was not there. */
export interface GateGap {
  readonly kind: "gate.gap";
  readonly at: number;
  readonly sensor: string;
  /** When it was last known to answer; milliseconds since the epoch. */
  readonly since: number;
  readonly mode: GateMode;
  /** It had ended by itself and not by being killed. */
  readonly orderly: boolean;
}

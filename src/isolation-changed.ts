// How something that should stay as it is has changed: the words for it, of baselines and of observations.

/** One fact, by name, that is another than it was. */
export interface Change {
  readonly fact: string;
  /** Undefined: there was none. */
  readonly expected?: string;
  /** Undefined: there is none any more. */
  readonly actual?: string;
  /** The kernel never does this by its own rules; which rule that is. */
  readonly impossible?: string;
  /** Fault or attack: what the readings of code from memory, page cache and disk say together. */
  readonly verdict?: Verdict;
}

export type Verdict = "one-bit fault in memory" | "patched in memory" | "corrupt page cache" | "file changed on disk";

/** A text whose bytes are others than they were: the SHA-256 of each, hexadecimal. */
export interface TextEvidence {
  readonly text: string;
  readonly expected?: string;
  readonly actual?: string;
}

export const MAX_CHANGES_TOLD = 16;

/** Something that isolates a protected process, or something of the kernel, is not what it was. */
export interface IsolationChanged {
  readonly kind: "isolation.changed";
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly sensor: string;
  readonly subsystem: string;
  /** "malformed": it is nothing that the kernel writes; "gone": it can no longer be looked at. */
  readonly change: "changed" | "malformed" | "gone";
  /** Undefined: the kernel. */
  readonly pid?: number;
  readonly startTime?: number;
  /** In one sentence. */
  readonly message: string;
  /** The first MAX_CHANGES_TOLD. */
  readonly changes: readonly Change[];
  readonly evidence: readonly TextEvidence[];
}

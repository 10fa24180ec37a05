// What is out of the ordinary with a program as it is started, told by the kernel before its first instruction. A word of
// its own, since observation.ts is long enough.

/** A process runs a program that has no name on any filesystem: a memfd, or a file that was unlinked first. */
export interface UnlinkedExecuted {
  readonly kind: "unlinked.executed";
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly sensor: string;
  readonly pid: number;
  readonly startTime: number;
  /** The file's own name: "memfd:x", or what it was called while it had one. */
  readonly name: string;
}

/**
 * A process runs a program that overlayfs has in its upper layer: in a container, one that was added or changed (if only
 * in mode or owner) since the container was made. Of a script it is the interpreter that counts.
 */
export interface UpperExecuted {
  readonly kind: "upper.executed";
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly sensor: string;
  readonly pid: number;
  readonly startTime: number;
  /** The file's own name. */
  readonly name: string;
}

export type ProgramExecuted = UnlinkedExecuted | UpperExecuted;

// A sealed baseline that is to be used and is not to be believed: the words for it.

/** What a node is held against. */
export type BaselineOf = "isolation" | "files" | "executables";

export interface BaselineRefused {
  readonly kind: "baseline.refused";
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly sensor: string;
  readonly of: BaselineOf;
  readonly path: string;
  /** Of seal-problem.ts; "unreadable" if there is a file that cannot be read. */
  readonly code: string;
  /** In one sentence. */
  readonly message: string;
  /** What is used instead: the copy of the last one that was good, or none. */
  readonly using: "last-good" | "none";
}

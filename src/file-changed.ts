// How a file differs from what a baseline says of it: the words for it, of baselines and of observations.

/** One attribute that is another than it was, as text. Undefined: there was none, or there is none. */
export interface AttributeChange {
  readonly attribute: string;
  readonly before?: string;
  readonly after?: string;
}

export type FileChange =
  | "added"
  | "removed"
  | "changed"
  | "moved"
  /** It, or part of it, can no longer be read. */
  | "unreadable"
  /** It was being written each time it was read. */
  | "unstable";

export interface FileDifference {
  readonly change: FileChange;
  /** As text; where it is none in UTF-8, \xNN stands for what is not. */
  readonly path: string;
  /** The bytes of a path that is no text, in hexadecimal. */
  readonly pathHex?: string;
  /** "moved": from where. */
  readonly from?: string;
  /** "file", "folder", "link", "fifo", "socket", "block", "character". */
  readonly fileType?: string;
  /** Of what is there now, in octal: "4755". */
  readonly mode?: string;
  /** In what it differs, of what is compared. */
  readonly attributes: readonly AttributeChange[];
  /** What it is compared in (baselines/files/rules.ts), and the pattern of the rule that says so. */
  readonly group: string;
  readonly rule?: string;
  /** The SHA-256 of what is there now, where it was read. */
  readonly sha256?: string;
  /** Why it could not be read. */
  readonly reason?: string;
}

/** Who did it, as far as it was seen while it was done. */
export interface FileActor {
  readonly pid: number;
  readonly startTime?: number;
  readonly comm?: string;
  readonly exe?: string;
}

/** A file is not what the baseline says. */
export interface FileChanged extends FileDifference {
  readonly kind: "file.changed";
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly sensor: string;
  /** Undefined: it was found afterwards. */
  readonly actor?: FileActor;
}

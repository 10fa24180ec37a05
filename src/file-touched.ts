// What is done to files while it is watched: the words for it, of observations.

export type FileTouch = "created" | "removed" | "written" | "attributes" | "moved";

/** Somebody did something to a watched file, or a look after a loss found that somebody had. */
export interface FileTouched {
  readonly kind: "file.touched";
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly sensor: string;
  /** What it came to; "attributes" are mode, owner, times, extended ones and the number of links. */
  readonly change: FileTouch;
  /** All that was done, in this order, where it was more than that. */
  readonly did?: readonly FileTouch[];
  /** As text; where it is none in UTF-8, \xNN stands for what is not. */
  readonly path: string;
  /** The bytes of a path that is no text, in hexadecimal. */
  readonly pathHex?: string;
  /** "moved": from where; undefined if that could not be told any more. */
  readonly from?: string;
  readonly folder: boolean;
  /** In whose root filesystem it was, and whose paths these are. */
  readonly container?: string;
  /** "moved": out of what is watched, or into it. */
  readonly crossed?: "out" | "in";
  /** Who; undefined: why stands in `unnamed`. */
  readonly pid?: number;
  readonly startTime?: number;
  readonly unnamed?: string;
  /** How many events this was. */
  readonly count: number;
  /** More was done at once than can be told file by file: so many files of this folder, of which some are named. */
  readonly files?: { readonly count: number; readonly names: readonly string[] };
  /** It was compared with the baseline after that, and is as it says: it may have been changed and changed back. */
  readonly asBefore?: boolean;
}

/** Files that a package manager changed, together, held against what the packages say. */
export interface PackagesChanged {
  readonly kind: "packages.changed";
  readonly at: number;
  readonly sensor: string;
  /** "dpkg", "rpm": the database they were held against; undefined: rimon cannot read that of this package manager. */
  readonly database?: string;
  /** The outermost package manager: apt that started dpkg. */
  readonly pid: number;
  readonly startTime: number;
  /** Its executable. */
  readonly manager: string;
  /** How many files were changed, how many are as their package says, and how many a package has without a hash (folders and links as a rule). */
  readonly files: number;
  readonly verified: number;
  readonly owned: number;
  /** Of which packages, the first 32. */
  readonly packages: readonly string[];
  /**
   * Files that are not as their package says, or not there, and files of no package: the first 32, and how many there are. What
   * was done to them is told by itself, too.
   */
  readonly differing: readonly string[];
  readonly differingCount: number;
  readonly strange: readonly string[];
  readonly strangeCount: number;
}

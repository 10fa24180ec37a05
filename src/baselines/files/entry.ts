// One file as a baseline keeps it: the record of native/record.h (struct file_entry_record), little-endian. Knows the
// layout and nothing of what a difference means. Bytes come from the addon, or from a file that anybody may have written.

import { SealProblem } from "../seal-problem.ts";

export const FIXED_BYTES = 128;
const RECORD_FILE_ENTRY = 40;

/** A path, a target, all names of extended attributes and what is kept of their values: beyond it, it is no entry. */
export const MAX_ENTRY_BYTES = 2 * 1024 * 1024;

const AT = {
  dev: 8,
  inode: 16,
  size: 24,
  mtime: 32,
  ctime: 40,
  rdev: 48,
  mode: 56,
  uid: 60,
  gid: 64,
  links: 68,
  rule: 72,
  pathLength: 74,
  targetLength: 76,
  error: 78,
  have: 80,
  flags: 84,
  xattrsLength: 88,
  notes: 92,
  digest: 96,
} as const;

const HAS = { stat: 1, digest: 2, xattrs: 4, flags: 8, target: 16 } as const;
const NOTE = { unstable: 2, mount: 4, swapped: 8, tooLarge: 16, cut: 32 } as const;
const XATTR_HASHED = 0x8000_0000;

export type FileType = "file" | "folder" | "link" | "fifo" | "socket" | "block" | "character" | "unknown";

const TYPES: Readonly<Record<number, FileType>> = {
  0o100000: "file",
  0o040000: "folder",
  0o120000: "link",
  0o010000: "fifo",
  0o140000: "socket",
  0o060000: "block",
  0o020000: "character",
};

export interface ExtendedAttribute {
  readonly name: string;
  readonly value: Buffer;
  /** The value is too large to be kept: this is its SHA-256. */
  readonly hashed: boolean;
}

/** Undefined: it could not be read, or there is no such thing. */
export interface FileEntry {
  readonly path: Buffer;
  /** Which rule it was looked at by, from 0; one past the last: none. */
  readonly rule: number;
  /** errno: it, its content or what is in it could not be read. */
  readonly error: number;
  readonly stat?: {
    readonly type: FileType;
    /** Without the type. */
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
    readonly size: bigint;
    readonly links: number;
    readonly dev: bigint;
    readonly inode: bigint;
    readonly rdev: bigint;
    /** Nanoseconds since 1970. */
    readonly mtimeNs: bigint;
    readonly ctimeNs: bigint;
  };
  /** Hexadecimal. */
  readonly sha256?: string;
  readonly target?: Buffer;
  readonly flags?: number;
  /** By name. */
  readonly xattrs?: readonly ExtendedAttribute[];
  /** It changed while it was read. */
  readonly unstable: boolean;
  /** Another file system begins here, which was not walked. */
  readonly mount: boolean;
  /** It was of another type when its folder was listed. */
  readonly swapped: boolean;
  /** Its content was not read. */
  readonly tooLarge: boolean;
  /** The digest is of its beginning. */
  readonly cut: boolean;
}

/** How many bytes the entry at `at` has, of `bytes` up to `end`; undefined: not all of them are there. */
export function entrySize(bytes: Buffer, at: number, end: number): number | undefined {
  if (end - at < FIXED_BYTES) return undefined;
  const size = bytes.readUInt32LE(at + 4);
  const strings =
    bytes.readUInt16LE(at + AT.pathLength) +
    bytes.readUInt16LE(at + AT.targetLength) +
    bytes.readUInt32LE(at + AT.xattrsLength);
  if (bytes.readUInt16LE(at) !== RECORD_FILE_ENTRY)
    throw malformed(`an entry of kind ${RECORD_FILE_ENTRY}, got one of kind ${bytes.readUInt16LE(at)}`);
  if (size > MAX_ENTRY_BYTES || size % 8 !== 0 || size < FIXED_BYTES + strings || size - FIXED_BYTES - strings >= 8)
    throw malformed(`an entry whose strings make up its ${size} bytes, got ${strings} bytes of them`);
  return end - at < size ? undefined : size;
}

export const pathLength = (bytes: Buffer, at: number): number => bytes.readUInt16LE(at + AT.pathLength);
const isMount = (bytes: Buffer, at: number): number => (bytes[at + AT.notes] ?? 0) & NOTE.mount;

/** Carries over what only a walk sees of an entry that was looked at once more. */
export function keepMount(to: Buffer, from: Buffer, fromAt: number): void {
  to[AT.notes] = (to[AT.notes] ?? 0) | isMount(from, fromAt);
}

const SLASH = 0x2f;

/** The order of a walk: '/' before every other byte, so that what is in a folder follows it. */
export function comparePaths(a: Buffer, aAt: number, aEnd: number, b: Buffer, bAt: number, bEnd: number): number {
  const length = Math.min(aEnd - aAt, bEnd - bAt);
  for (let i = 0; i < length; i++) {
    const [left, right] = [a[aAt + i] ?? 0, b[bAt + i] ?? 0];
    if (left === right) continue;
    if (left === SLASH) return -1;
    return right === SLASH ? 1 : left - right;
  }
  return aEnd - aAt - (bEnd - bAt);
}

/** Of two entries. */
export function compareEntries(a: Buffer, aAt: number, b: Buffer, bAt: number): number {
  const [from, to] = [aAt + FIXED_BYTES, bAt + FIXED_BYTES];
  return comparePaths(a, from, from + pathLength(a, aAt), b, to, to + pathLength(b, bAt));
}

/** Whether a path is another one, or below it. */
export function isAtOrBelow(path: Buffer, root: Buffer): boolean {
  if (path.length < root.length || path.compare(root, 0, root.length, 0, root.length) !== 0) return false;
  return path.length === root.length || path[root.length] === SLASH || root[root.length - 1] === SLASH;
}

/** The entry at `at`; `size` is what entrySize() gave. */
export function decodeEntry(bytes: Buffer, at: number, size: number): FileEntry {
  const have = bytes.readUInt32LE(at + AT.have);
  const notes = bytes.readUInt32LE(at + AT.notes);
  const path = at + FIXED_BYTES;
  const target = path + bytes.readUInt16LE(at + AT.pathLength);
  const xattrs = target + bytes.readUInt16LE(at + AT.targetLength);
  const end = xattrs + bytes.readUInt32LE(at + AT.xattrsLength);
  if (end > at + size) throw malformed("an entry with its strings, got one that is cut");
  const mode = bytes.readUInt32LE(at + AT.mode);
  return {
    path: bytes.subarray(path, target),
    rule: bytes.readUInt16LE(at + AT.rule),
    error: bytes.readUInt16LE(at + AT.error),
    ...((have & HAS.stat) === 0
      ? {}
      : {
          stat: {
            type: TYPES[mode & 0o170000] ?? "unknown",
            mode: mode & 0o7777,
            uid: bytes.readUInt32LE(at + AT.uid),
            gid: bytes.readUInt32LE(at + AT.gid),
            size: bytes.readBigUInt64LE(at + AT.size),
            links: bytes.readUInt32LE(at + AT.links),
            dev: bytes.readBigUInt64LE(at + AT.dev),
            inode: bytes.readBigUInt64LE(at + AT.inode),
            rdev: bytes.readBigUInt64LE(at + AT.rdev),
            mtimeNs: bytes.readBigInt64LE(at + AT.mtime),
            ctimeNs: bytes.readBigInt64LE(at + AT.ctime),
          },
        }),
    ...((have & HAS.digest) === 0 ? {} : { sha256: bytes.toString("hex", at + AT.digest, at + AT.digest + 32) }),
    ...((have & HAS.target) === 0 ? {} : { target: bytes.subarray(target, xattrs) }),
    ...((have & HAS.flags) === 0 ? {} : { flags: bytes.readUInt32LE(at + AT.flags) }),
    ...((have & HAS.xattrs) === 0 ? {} : { xattrs: decodeXattrs(bytes, xattrs, end) }),
    unstable: (notes & NOTE.unstable) !== 0,
    mount: (notes & NOTE.mount) !== 0,
    swapped: (notes & NOTE.swapped) !== 0,
    tooLarge: (notes & NOTE.tooLarge) !== 0,
    cut: (notes & NOTE.cut) !== 0,
  };
}

function decodeXattrs(bytes: Buffer, from: number, end: number): readonly ExtendedAttribute[] {
  const found: ExtendedAttribute[] = [];
  for (let at = from; at < end;) {
    const name = bytes.indexOf(0, at);
    if (name === -1 || name + 5 > end) throw malformed("extended attributes with their lengths, got some that are cut");
    const length = bytes.readUInt32LE(name + 1);
    const value = name + 5;
    const next = value + (length & ~XATTR_HASHED);
    if (next > end) throw malformed("extended attributes with their values, got one that is cut");
    found.push({
      name: bytes.toString("utf8", at, name),
      value: bytes.subarray(value, next),
      hashed: (length & XATTR_HASHED) !== 0,
    });
    at = next;
  }
  return found;
}

function malformed(expectedAndCame: string): SealProblem {
  return new SealProblem("wrong-entries", `expected ${expectedAndCame}; take a new baseline`);
}

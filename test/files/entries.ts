// Entries by hand, after struct file_entry_record of native/record.h, not by what is under test.

import { record, u16, u32, u64 } from "../fixtures/golden-records.ts";

export interface Hand {
  readonly path: string | Buffer;
  readonly mode?: number;
  readonly inode?: number;
  readonly size?: number;
  readonly ctimeNs?: bigint;
  readonly rule?: number;
  readonly target?: string;
  readonly xattrs?: Buffer;
  readonly have?: number;
  readonly error?: number;
  readonly flags?: number;
  readonly notes?: number;
  readonly sha256?: string;
}

export function entry({
  path,
  target = "",
  xattrs = Buffer.alloc(0),
  sha256 = "00".repeat(32),
  ...rest
}: Hand): Buffer {
  const {
    mode = 0o100644,
    inode = 7,
    size = 5,
    ctimeNs = 3n,
    rule = 0,
    have = 0b11111,
    error = 0,
    flags = 0,
    notes = 0,
  } = rest;
  const digest = Buffer.from(sha256, "hex");
  const words = [0, 8, 16, 24].map((at) => u64(digest.readBigUInt64LE(at)));
  const numbers = [u64(1), u64(inode), u64(size), u64(2), u64(ctimeNs), u64(0x0103), u32(mode), u32(8), u32(9), u32(1)];
  const lengths = [u16(rule), u16(Buffer.byteLength(path as string)), u16(Buffer.byteLength(target)), u16(error)];
  const more = [u32(have), u32(flags), u32(xattrs.length), u32(notes)];
  return record(40, [...numbers, ...lengths, ...more, ...words], [path, target, xattrs]);
}

export function xattr(name: string, value: Buffer, hashed = false): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE((value.length | (hashed ? 0x8000_0000 : 0)) >>> 0);
  return Buffer.concat([Buffer.from(`${name}\0`), length, value]);
}

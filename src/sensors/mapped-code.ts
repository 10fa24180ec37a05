// The files of code, opened to be read: those that processes run from and those that they have mapped.

import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { readCodeFile, type CodeFile } from "../function-map/code-file.ts";
import type { ReadAt } from "../function-map/elf.ts";
import type { CodePagesRecord } from "../record.ts";

/** What tells which file a page of code is of. */
export type MappedPage = Pick<CodePagesRecord["pages"][number], "mapping" | "path" | "file">;

export interface MappedCode {
  /** Undefined if it cannot be read or is no ELF file. */
  readonly code: CodeFile | undefined;
  readonly read: ReadAt;
  close(): Promise<void>;
}

const HEAD = 256 * 1024;
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** Never throws. */
export function openMappedCode(pid: number, page: MappedPage): Promise<MappedCode> {
  return codeOf(openMapped(pid, page));
}

/** Never throws. */
export function openCode(path: string): Promise<MappedCode> {
  return codeOf(open(path, FLAGS));
}

async function codeOf(opening: Promise<FileHandle | undefined>): Promise<MappedCode> {
  const handle = await opening.catch(() => undefined);
  const nothing: ReadAt = async () => Buffer.alloc(0);
  const close = async (): Promise<void> => handle?.close();
  try {
    const read = handle === undefined ? nothing : await readerOf(handle);
    return { code: await readCodeFile(read), read, close };
  } catch {
    return { code: undefined, read: nothing, close };
  }
}

/** The file's beginning, where most of what says what it is stands, is read once in place of many times. */
export async function readerOf(handle: FileHandle): Promise<ReadAt> {
  const fromFile: ReadAt = async (position, length) => {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, position);
    return buffer.subarray(0, bytesRead);
  };
  const head = await fromFile(0, HEAD);
  return async (position, length) => {
    if (length <= 0 || !Number.isSafeInteger(position)) return Buffer.alloc(0);
    const end = position + length;
    return end <= head.length || head.length < HEAD ? head.subarray(position, end) : fromFile(position, length);
  };
}

/** The mapped file itself, also where its name is another's by now; by its name only if that still is the same file. */
async function openMapped(pid: number, page: MappedPage): Promise<FileHandle | undefined> {
  const mapped = await open(`/proc/${pid}/map_files/${page.mapping}`, FLAGS).catch(() => undefined);
  if (mapped !== undefined) return mapped;
  const named = await open(`/proc/${pid}/root${page.path}`, FLAGS).catch(() => undefined);
  const is = await named?.stat().catch(() => undefined);
  if (is?.dev === page.file.dev && is.ino === page.file.inode) return named;
  await named?.close();
  return undefined;
}

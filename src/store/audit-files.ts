// The files of an audit log on disk: their names, and their lines in constant memory.

import { constants } from "node:fs";
import { open, readdir, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoOf } from "./durable.ts";
import { MAX_LINE_BYTES } from "./audit-record.ts";

export interface RotatedFile {
  readonly path: string;
  readonly firstSeq: number;
}

/** The name a full file gets: the current path and its first record's number. */
export function rotatedPath(path: string, firstSeq: number): string {
  return `${path}.${String(firstSeq).padStart(12, "0")}`;
}

/** True if this is one closed file of a log rather than the path the log is written under. */
export function isClosedFile(path: string): boolean {
  return /\.(\d{12,15}|damaged-[^/]+)$/.test(path);
}

/** The files that were rotated away from `path`, oldest first. */
export async function rotatedFiles(path: string): Promise<RotatedFile[]> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path)).catch((thrown: unknown) => {
    if (errnoOf(thrown) === "ENOENT") return [];
    throw thrown;
  });
  return names
    .filter((name) => name.startsWith(prefix) && /^\d{12,15}$/.test(name.slice(prefix.length)))
    .map((name) => ({ path: join(dirname(path), name), firstSeq: Number(name.slice(prefix.length)) }))
    .sort((a, b) => a.firstSeq - b.firstSeq);
}

/** Opens a log file for reading; undefined if there is none. Never blocks on what is not a file. */
export async function openLogFile(path: string): Promise<FileHandle | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new Error("it is not a regular file");
}

export type LinesEnd =
  | { readonly kind: "end"; /** Bytes after the last newline. */ readonly tornBytes: number }
  | { readonly kind: "too-long"; readonly line: number };

const CHUNK_BYTES = 256 * 1024;

/** The complete lines, without their newlines, a read at a time. A line is valid until the next batch is asked for. */
export async function* lineBatches(handle: FileHandle): AsyncGenerator<Buffer[], LinesEnd> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let rest: Buffer[] = [];
  let restBytes = 0;
  let count = 0;
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) return { kind: "end", tornBytes: restBytes };
    position += bytesRead;
    const lines: Buffer[] = [];
    let from = 0;
    for (let newline; (newline = chunk.subarray(0, bytesRead).indexOf(0x0a, from)) >= 0; from = newline + 1) {
      const tail = chunk.subarray(from, newline);
      const line = restBytes === 0 ? tail : Buffer.concat([...rest, tail]);
      rest = [];
      restBytes = 0;
      if (line.length > MAX_LINE_BYTES) {
        yield lines;
        return { kind: "too-long", line: count + 1 };
      }
      lines.push(line);
      count += 1;
    }
    if (from < bytesRead) {
      rest.push(Buffer.from(chunk.subarray(from, bytesRead)));
      restBytes += bytesRead - from;
    }
    yield lines;
    if (restBytes > MAX_LINE_BYTES) return { kind: "too-long", line: count + 1 };
  }
}

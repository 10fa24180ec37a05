// How a log goes on: reads where it ended, and decides. What cannot be continued is set aside, never removed.

import { randomBytes } from "node:crypto";
import { chmod, lstat, rename } from "node:fs/promises";
import { basename } from "node:path";
import { reasonOf } from "../errors.ts";
import { openLogFile, rotatedFiles } from "./audit-files.ts";
import { Chain, GENESIS } from "./audit-record.ts";
import { checkFile } from "./audit-verify.ts";
import { errnoOf } from "./durable.ts";

/** Where the log stands: changed only once what it describes is on disk. */
export interface Tip {
  readonly seq: number;
  readonly prev: string;
  readonly fileFirstSeq: number;
  readonly fileRecords: number;
  readonly fileBytes: number;
  readonly unsigned: number;
}

export interface Head {
  readonly type: "start" | "rotate" | "damaged";
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface Found {
  readonly log: string;
  readonly tip: Tip;
  /** If the file at the path, or the one to be made, has no line yet. */
  readonly head?: Head;
  /** There is a file at the path, to be gone on with. */
  readonly there: boolean;
  readonly tornBytes: number;
  readonly notes: readonly string[];
  /** Told as trouble until the new log stands. */
  readonly damage?: string;
}

/** Reads where the log ended and decides how it goes on. */
export async function findEnd(path: string, publicKey: string, now: () => number): Promise<Found> {
  const rotated = (await rotatedFiles(path)).at(-1);
  const entry = await lstat(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  });
  if (entry !== undefined && !entry.isFile()) return damaged("it is not a regular file", 0, new Chain());
  const chain = new Chain([publicKey]);
  const notes: string[] = [];
  const handle = await openLogFile(path);
  if (handle !== undefined) {
    const check = await checkFile(handle, chain).finally(() => handle.close());
    if (check.flaw?.kind === "unreadable") throw new Error(check.flaw.reason);
    if (check.flaw !== undefined) return damaged(check.flaw.reason, check.flaw.line, chain);
    if (check.tornBytes > 0) notes.push(`torn line of ${check.tornBytes} bytes removed`);
    const mode = (entry?.mode ?? 0) & 0o777;
    if ((mode & 0o177) !== 0) {
      const made = await chmod(path, 0o600).then(
        () => "was made 0600",
        (thrown) => `could not be made 0600: ${reasonOf(thrown)}`,
      );
      notes.push(`the file had mode ${mode.toString(8).padStart(4, "0")} and ${made}`);
    }
    if (check.lines > 0) {
      const tip: Tip = {
        seq: chain.seq,
        prev: chain.prev,
        fileFirstSeq: chain.firstSeq ?? chain.seq,
        fileRecords: check.lines,
        fileBytes: check.bytes,
        unsigned: chain.signedThrough === 0 ? check.lines : chain.seq - chain.signedThrough,
      };
      return { log: chain.log, tip, there: true, tornBytes: check.tornBytes, notes };
    }
    // No complete line: a crash while the file was being made. Its first line is written again.
  }
  const there = entry !== undefined;
  const tornBytes = entry?.size ?? 0;
  if (rotated === undefined) {
    const head: Head = { type: "start", facts: {} };
    return { log: newLogId(), tip: newFile(0, GENESIS), head, there, tornBytes, notes };
  }
  const before = await checkRotated(rotated.path, publicKey);
  if (before.flaw !== undefined) {
    return begunAnew(basename(rotated.path), before.flaw, before.chain.seq, before.bound, there, tornBytes);
  }
  notes.push(`the log goes on from ${basename(rotated.path)}: ${basename(path)} was missing or empty`);
  const head: Head = { type: "rotate", facts: { previous: basename(rotated.path) } };
  return { log: before.chain.log, tip: newFile(before.chain.seq, before.chain.prev), head, there, tornBytes, notes };

  async function damaged(reason: string, line: number, chain: Chain): Promise<Found> {
    let lastGoodSeq = chain.seq;
    let above = chain.seq + (entry?.isFile() === true ? await newlinesIn(path) : 0);
    if (rotated !== undefined) {
      const before = await checkRotated(rotated.path, publicKey);
      lastGoodSeq = Math.max(lastGoodSeq, before.chain.seq);
      above += before.bound;
    }
    const file = (await setAside(path, now())) ?? basename(path);
    return begunAnew(file, { line, reason }, lastGoodSeq, above, false, 0);
  }
}

function begunAnew(
  file: string,
  { line, reason }: { readonly line: number; readonly reason: string },
  lastGoodSeq: number,
  above: number,
  there: boolean,
  tornBytes: number,
): Found {
  return {
    log: newLogId(),
    tip: newFile(above, GENESIS),
    head: { type: "damaged", facts: { file, line, lastGoodSeq, reason } },
    there,
    tornBytes,
    notes: [],
    damage: `${file} does not verify at line ${line} (${reason})`,
  };
}

const COUNT_BYTES = 256 * 1024;

/** A rotated file by itself: its end, what is wrong with it, and a number no record of it is above. */
async function checkRotated(path: string, publicKey: string) {
  const chain = new Chain([publicKey]);
  const handle = await openLogFile(path);
  if (handle === undefined) throw new Error(`${path} was removed while the log was being opened`);
  const check = await checkFile(handle, chain).finally(() => handle.close());
  const flaw =
    check.flaw ??
    (check.tornBytes > 0 ? { line: check.lines + 1, reason: "it does not end with a newline" } : undefined);
  const named = Number(path.slice(path.lastIndexOf(".") + 1));
  const bound = flaw === undefined ? chain.seq : Math.max(chain.seq, named) + (await newlinesIn(path));
  return { chain, flaw, bound };
}

async function newlinesIn(path: string): Promise<number> {
  const handle = await openLogFile(path);
  if (handle === undefined) return 0;
  const chunk = Buffer.allocUnsafe(COUNT_BYTES);
  let count = 0;
  try {
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      for (let at = -1; (at = chunk.subarray(0, bytesRead).indexOf(0x0a, at + 1)) >= 0;) count += 1;
    }
  } finally {
    await handle.close();
  }
  return count;
}

/** Renames what is there to <path>.damaged-<time>; the new name, or undefined if nothing was there. */
export async function setAside(path: string, at: number): Promise<string | undefined> {
  const stem = `${path}.damaged-${new Date(at).toISOString().replaceAll(":", "-")}`;
  let name = stem;
  for (let count = 2; await exists(name); count += 1) name = `${stem}-${count}`;
  try {
    await rename(path, name);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
  return basename(name);
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return false;
    throw thrown;
  }
}

/** The tip of a file that is to be made behind record `seq`. */
export function newFile(seq: number, prev: string): Tip {
  return { seq, prev, fileFirstSeq: seq + 1, fileRecords: 0, fileBytes: 0, unsigned: 0 };
}

export function newLogId(): string {
  return randomBytes(16).toString("hex");
}

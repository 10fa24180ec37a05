// Reading an audit log back: whether it is whole, and what it says. Reports what it finds; writes nothing.

import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { RimonError, reasonOf } from "../errors.ts";
import { isClosedFile, lineBatches, openLogFile, rotatedFiles, rotatedPath } from "./audit-files.ts";
import { Chain, MAX_LINE_BYTES, parseLine, type AuditRecord, type Flaw } from "./audit-record.ts";
import { readPublicKeys } from "./signing-key.ts";

export interface Verification {
  readonly ok: boolean;
  /** Records that were found good. */
  readonly records: number;
  readonly files: number;
  readonly firstSeq?: number;
  readonly lastSeq?: number;
  readonly checkpoints: number;
  /** The last record a valid signature vouches for; 0 is none. */
  readonly signedThrough: number;
  /** What a crash left of a last line, never acknowledged; the next start cuts it off. */
  readonly torn?: { readonly bytes: number };
  readonly firstBad?: Flaw & {
    readonly file: string;
    /** 0 if it is the file as a whole. */
    readonly line: number;
  };
  readonly notes: readonly string[];
}

export interface FileCheck {
  /** Complete lines that were good, and their bytes with newlines. */
  readonly lines: number;
  readonly bytes: number;
  readonly tornBytes: number;
  readonly flaw?: Flaw & { readonly line: number };
}

/** Checks one file's lines as the chain's next; stops at the first that is bad. */
export async function checkFile(handle: FileHandle, chain: Chain): Promise<FileCheck> {
  let lines = 0;
  let bytes = 0;
  chain.beginFile();
  try {
    const batches = lineBatches(handle);
    for (;;) {
      const next = await batches.next();
      if (next.done === true) {
        if (next.value.kind === "end") return { lines, bytes, tornBytes: next.value.tornBytes };
        const reason = `the line is longer than ${MAX_LINE_BYTES} bytes`;
        return { lines, bytes, tornBytes: 0, flaw: { kind: "json", reason, line: next.value.line } };
      }
      for (const line of next.value) {
        const flaw = chain.accept(line);
        if (flaw !== undefined) return { lines, bytes, tornBytes: 0, flaw: { ...flaw, line: lines + 1 } };
        lines += 1;
        bytes += line.length + 1;
      }
    }
  } catch (thrown) {
    return { lines, bytes, tornBytes: 0, flaw: { kind: "unreadable", reason: reasonOf(thrown), line: lines + 1 } };
  }
}

/**
 * Checks a log from its first file to its last line, or one rotated file by itself. Without a public key, signatures
 * are checked against the key the log names, which proves only that one key made them all.
 */
export async function verifyAuditLog(
  path: string,
  options: { readonly publicKeyFile?: string } = {},
): Promise<Verification> {
  const trusted = options.publicKeyFile === undefined ? undefined : await readPublicKeys(options.publicKeyFile);
  const chain = new Chain(trusted);
  const notes: string[] = [];
  let files = 0;
  let torn: Verification["torn"];
  let firstBad: Verification["firstBad"];
  let currentSeen = false;
  try {
    for await (const { file, handle, rotated } of logFiles(path)) {
      const previousSeq = chain.seq;
      const check = await checkFile(handle, chain);
      files += 1;
      currentSeen ||= !rotated;
      const flaw = explain(check, chain, file, rotated);
      if (flaw !== undefined) {
        firstBad = await namedMissing(flaw, file, previousSeq);
        break;
      }
      if (check.tornBytes > 0) torn = { bytes: check.tornBytes };
      if (check.lines === 0) notes.push(`${basename(file)} has no complete line yet`);
      if (!chain.anchored && files === 1 && check.lines > 0 && !isClosedFile(path)) {
        const previous = String(chain.head?.body["previous"]);
        firstBad = {
          file: join(dirname(file), previous),
          line: 0,
          kind: "missing",
          reason: `the rotated file ${previous}, which ${basename(file)} goes on from, is not there`,
          seq: chain.firstSeq ?? 0,
        };
        break;
      }
    }
  } catch (thrown) {
    firstBad = { file: path, line: 0, kind: "unreadable", reason: `it cannot be read: ${reasonOf(thrown)}` };
  }
  if (files === 0 && firstBad === undefined) {
    firstBad = { file: path, line: 0, kind: "unreadable", reason: "there is no such audit log" };
  }
  const [damage] = chain.damages;
  if (damage !== undefined) {
    notes.push(`a new chain begins at record ${damage.seq}, after ${damage.file} was found damaged and set aside`);
    // It comes first in the log's order, whatever was found behind it.
    if (firstBad === undefined || (firstBad.seq ?? Infinity) >= damage.seq) {
      firstBad = {
        file: join(dirname(path), damage.file),
        line: damage.line,
        kind: "damaged",
        seq: damage.lastGoodSeq + 1,
        reason: `the log says that this file did not verify when it was opened: ${damage.reason}`,
      };
    }
  }
  const unsigned = chain.records === 0 ? 0 : chain.seq - Math.max(chain.signedThrough, (chain.firstSeq ?? 1) - 1);
  if (firstBad === undefined) {
    if (!chain.anchored)
      notes.push(`the beginning is not anchored: record ${chain.firstSeq} goes on from a file not read here`);
    if (unsigned > 0) notes.push(`${unsigned} records after the last checkpoint are chained but not yet signed`);
    if (torn !== undefined) notes.push(`the last line is torn (${torn.bytes} bytes); it was never acknowledged`);
    if (!currentSeen && !isClosedFile(path)) {
      notes.push(`${basename(path)} is not there: a rotation was cut short, or the file was removed`);
    }
  }
  if (trusted === undefined && chain.checkpoints > 0) {
    notes.push(`signatures were checked against ${chain.publicKey}, which the log itself names`);
  }
  return {
    ok: firstBad === undefined,
    records: chain.records,
    files,
    ...(chain.firstSeq === undefined ? {} : { firstSeq: chain.firstSeq, lastSeq: chain.seq }),
    checkpoints: chain.checkpoints,
    signedThrough: chain.signedThrough,
    ...(torn === undefined ? {} : { torn }),
    ...(firstBad === undefined ? {} : { firstBad }),
    notes,
  };
}

function explain(check: FileCheck, chain: Chain, file: string, rotated: boolean): Verification["firstBad"] {
  if (check.flaw !== undefined) {
    // A line that cannot be read stands where the next record should.
    return { ...(chain.records === 0 ? {} : { seq: chain.seq + 1 }), ...check.flaw, file };
  }
  if (!rotated) return undefined;
  if (check.tornBytes > 0) {
    return {
      file,
      line: check.lines + 1,
      kind: "json",
      reason: "a rotated file must end with a newline",
      seq: chain.seq + 1,
    };
  }
  if (chain.lastType === "checkpoint" && check.lines > 0) return undefined;
  return {
    file,
    line: check.lines,
    kind: "unsigned",
    reason: "a rotated file must end with a checkpoint",
    seq: chain.seq,
  };
}

/** A gap at the head of a file is a file that is gone, if the one it names is not there. */
async function namedMissing(
  flaw: NonNullable<Verification["firstBad"]>,
  file: string,
  previousSeq: number,
): Promise<Verification["firstBad"]> {
  if (flaw.line !== 1 || flaw.kind !== "sequence" || previousSeq === 0) return flaw;
  const handle = await openLogFile(file);
  if (handle === undefined) return flaw;
  try {
    const first = await lineBatches(handle).next();
    const record = first.done === true || first.value[0] === undefined ? "" : parseLine(first.value[0]);
    if (typeof record === "string" || record.type !== "rotate") return flaw;
    const previous = String(record.body["previous"]);
    const expected = rotatedPath("", previousSeq + 1).slice(1);
    if (record.seq <= previousSeq + 1 || !isClosedFile(previous)) return flaw;
    return {
      file: join(dirname(file), previous),
      line: 0,
      kind: "missing",
      reason: `records ${previousSeq + 1} to ${record.seq - 1} are gone: the rotated files from .${expected} to ${previous} are not there`,
      seq: previousSeq + 1,
    };
  } finally {
    await handle.close();
  }
}

export interface AuditFilter {
  readonly types?: readonly string[];
  /** Milliseconds since the epoch; the first instant wanted, and the first no longer wanted. */
  readonly since?: number;
  readonly until?: number;
  readonly fromSeq?: number;
  /** Told of lines that are no records; without it, the first one ends the reading with an error. */
  readonly onBad?: (file: string, line: number, reason: string) => void;
}

/** The records of a log in order, over its rotated files. Does not check the chain: verifyAuditLog() does. */
export async function* readAuditLog(path: string, filter: AuditFilter = {}): AsyncGenerator<AuditRecord, void> {
  const onBad = filter.onBad ?? refuse;
  for await (const { file, handle } of logFiles(path)) {
    let number = 0;
    const batches = lineBatches(handle);
    for (;;) {
      const next = await batches.next();
      if (next.done === true) {
        if (next.value.kind === "too-long")
          onBad(file, next.value.line, `the line is longer than ${MAX_LINE_BYTES} bytes`);
        break;
      }
      for (const line of next.value) {
        number += 1;
        const record = parseLine(line);
        if (typeof record === "string") onBad(file, number, record);
        else if (wanted(record, filter)) yield record;
      }
    }
  }
}

function wanted(record: AuditRecord, { types, since, until, fromSeq }: AuditFilter): boolean {
  if (types !== undefined && !types.includes(record.type)) return false;
  if (fromSeq !== undefined && record.seq < fromSeq) return false;
  const at = Date.parse(record.time);
  return (since === undefined || at >= since) && (until === undefined || at < until);
}

function refuse(file: string, line: number, reason: string): never {
  throw new RimonError(
    "RIMON_AUDIT",
    `${file}:${line}: this line is no audit record (${reason}); run: rimon audit verify`,
  );
}

interface LogFile {
  readonly file: string;
  readonly handle: FileHandle;
  readonly rotated: boolean;
}

/** The files of a log in order, opened. The log may be rotated while they are read: no file is missed or met twice. */
async function* logFiles(path: string): AsyncGenerator<LogFile, void> {
  if (isClosedFile(path)) {
    yield* opened(path, false);
    return;
  }
  let after = 0;
  for (;;) {
    for (const { path: file, firstSeq } of await rotatedFiles(path)) {
      if (firstSeq <= after) continue;
      after = firstSeq;
      yield* opened(file, true);
    }
    const handle = await openLogFile(path);
    // Renamed between the listing and the opening: what is open now is not the file that goes on from the last one.
    if ((await rotatedFiles(path)).some(({ firstSeq }) => firstSeq > after)) {
      await handle?.close();
      continue;
    }
    if (handle === undefined) return;
    try {
      yield { file: path, handle, rotated: false };
    } finally {
      await handle.close();
    }
    return;
  }
}

async function* opened(file: string, rotated: boolean): AsyncGenerator<LogFile, void> {
  const handle = await openLogFile(file);
  if (handle === undefined) return;
  try {
    yield { file, handle, rotated };
  } finally {
    await handle.close();
  }
}

// The two files of a baseline: the statement, sealed or not, and the entries beside it, which the statement names by their
// digest. Entries are written first and under a name of their own: whatever stops that, the baseline of before is whole.

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, readdir, rename, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MAX_ENVELOPE_BYTES, type PublicKey } from "../baselines/dsse.ts";
import { comparePaths, entrySize, FIXED_BYTES, isAtOrBelow, pathLength } from "../baselines/files/entry.ts";
import {
  FILE_BASELINE,
  fileStatement,
  parseFileStatement,
  type FileBaselineStatement,
  type FileEntries,
  type FileScope,
} from "../baselines/files/statement.ts";
import { isObject } from "../baselines/seal-problem.ts";
import { checkHeader, openSealed, SealProblem } from "../baselines/seal.ts";
import { parseStatement, statementBytes, type BaselineHeader } from "../baselines/statement.ts";
import { RimonError, reasonOf } from "../errors.ts";
import { headerNow, machineOf } from "../machine.ts";
import { ignoreMissing, replaceFile, syncDirectory } from "../store/durable.ts";

const PIECE_BYTES = 256 * 1024;
const BLOCK_BYTES = 64 * 1024;

export interface EntriesWriter {
  /** Whole entries, in the order of their paths; the bytes are the caller's again once they are written. */
  write(bytes: Buffer, count: number): Promise<void>;
  /** Puts them in place and then the statement that names them; the baseline of before is gone after that. */
  commit(
    scope: FileScope,
    options: { readonly expiresDays?: number; readonly previous?: string },
  ): Promise<FileEntries>;
  /** Leaves nothing behind. */
  abandon(): Promise<void>;
}

/** Writes the entries of a baseline whose statement is to be `file`. */
export async function createEntriesWriter(file: string): Promise<EntriesWriter> {
  const folder = dirname(file);
  const temporary = `${file}.${process.pid}.entries.tmp`;
  const hash = createHash("sha256");
  let handle: FileHandle;
  try {
    await unlink(temporary).catch(ignoreMissing);
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    handle = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch (thrown) {
    throw notWritten(file, thrown);
  }
  let total = 0;
  let entries = 0;
  let closed = false;

  async function abandon(): Promise<void> {
    if (closed) return;
    closed = true;
    await handle.close();
    await unlink(temporary).catch(ignoreMissing);
  }

  return {
    async write(bytes, count) {
      total += bytes.length;
      entries += count;
      hash.update(bytes);
      try {
        for (let at = 0; at < bytes.length;) at += (await handle.write(bytes, at)).bytesWritten;
      } catch (thrown) {
        throw notWritten(file, thrown);
      }
    },
    async commit(scope, { expiresDays, previous }) {
      try {
        await handle.sync();
        await handle.close();
        closed = true;
        const sha256 = hash.digest("hex");
        const name = `${basename(file)}.${sha256.slice(0, 16)}.entries`;
        await rename(temporary, join(folder, name));
        await syncDirectory(folder);
        const written: FileEntries = { name, sha256, bytes: total, count: entries };
        const says = { scope, entries: written, ...(previous === undefined ? {} : { previous }) };
        await replaceFile(file, `${statementBytes(fileStatement(headerNow(expiresDays), says)).toString()}\n`, 0o600);
        await removeOthers(file, name);
        return written;
      } catch (thrown) {
        await abandon();
        throw notWritten(file, thrown);
      }
    },
    abandon,
  };
}

/** Entries that no statement names any more, and what a writer that was killed has left. */
async function removeOthers(file: string, name: string): Promise<void> {
  const folder = dirname(file);
  const ours = (each: string): boolean => each.startsWith(`${basename(file)}.`) && each !== name;
  for (const each of (await readdir(folder)).filter(ours)) {
    const rest = each.slice(basename(file).length);
    if (
      /^\.[0-9a-f]{16}\.entries$/.test(rest) ||
      (/^\.\d+\.entries\.tmp$/.test(rest) && !isRunning(Number.parseInt(rest.slice(1))))
    )
      await unlink(join(folder, each)).catch(ignoreMissing);
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return thrown instanceof Error && "code" in thrown && thrown.code === "EPERM";
  }
}

function notWritten(file: string, cause: unknown): RimonError {
  if (cause instanceof RimonError) return cause;
  return new RimonError("RIMON_USAGE", `the baseline ${file} cannot be written: ${reasonOf(cause)}`, { cause });
}

export interface Trust {
  /** Who may have sealed it; without any only a baseline that is not sealed is read. */
  readonly keys?: readonly PublicKey[];
  /** How many of them must have; 1 if not given. */
  readonly threshold?: number;
  /** Also of another machine, also one that no longer holds: for a look at it, not for a check. */
  readonly anyMachine?: boolean;
  /** Of the baseline that was in force before: an older one is refused. */
  readonly lastCounter?: number;
}

export interface FileBaseline extends FileBaselineStatement {
  readonly file: string;
  readonly header: BaselineHeader;
  /** Undefined: it is not sealed. */
  readonly keyIds?: readonly string[];
  /** Every entry in pieces that are no whole entries as a rule, each proven before it is given. One is good until the one after the next. */
  pieces(): AsyncGenerator<Buffer, void, void>;
  /** The entries at and below some paths, which are sorted and none below another, likewise. */
  piecesBelow(paths: readonly Buffer[]): AsyncGenerator<Buffer, void, void>;
  /** The entries of these paths, by the path with a character for each byte. */
  find(paths: readonly Buffer[]): Promise<ReadonlyMap<string, Buffer>>;
  close(): Promise<void>;
}

/** Opens a baseline and proves all of it; throws a SealProblem if it is not to be believed. */
export async function openFileBaseline(file: string, trust: Trust = {}): Promise<FileBaseline> {
  const { statement, keyIds, header } = await openStatement(file, trust);
  const says = parseFileStatement(statement);
  const handle = await openEntries(join(dirname(file), says.entries.name));
  try {
    const digests = await prove(handle, says.entries);
    let index: readonly Block[] | undefined;
    const indexed = async (): Promise<readonly Block[]> =>
      (index ??= await indexOf(readPieces(handle, says.entries, digests)));
    return {
      ...says,
      file,
      header,
      ...(keyIds === undefined ? {} : { keyIds }),
      pieces: () => readPieces(handle, says.entries, digests),
      async *piecesBelow(paths) {
        for (const path of paths) yield* readBelow(handle, await indexed(), path);
      },
      async find(paths) {
        const found = new Map<string, Buffer>();
        for (const path of paths) {
          const entry = await readEntry(handle, await indexed(), path);
          if (entry !== undefined) found.set(path.toString("latin1"), entry);
        }
        return found;
      },
      close: () => handle.close(),
    };
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

async function openStatement(file: string, { keys = [], threshold = 1, anyMachine = false, lastCounter }: Trust) {
  const bytes = await readStatement(file);
  const expected = {
    predicateType: FILE_BASELINE,
    now: Date.now(),
    ...(anyMachine ? {} : { machineId: machineOf().id }),
    ...(lastCounter === undefined ? {} : { lastCounter }),
  };
  if (keys.length > 0) return openSealed(bytes, { keys, threshold, ...expected });
  if (isEnvelope(bytes))
    throw new RimonError("RIMON_USAGE", `${file} is sealed: name the keys that may have signed it with --public-key`);
  const statement = parseStatement(bytes);
  return { statement, header: checkHeader(statement, expected), keyIds: undefined };
}

async function readStatement(file: string): Promise<Buffer> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((thrown: unknown) => {
    throw new RimonError(
      "RIMON_USAGE",
      `the baseline ${file} cannot be read: ${reasonOf(thrown)}; rimon files init makes one`,
      { cause: thrown },
    );
  });
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new RimonError("RIMON_USAGE", `${file} must be a regular file`);
    if (found.size > MAX_ENVELOPE_BYTES)
      throw new SealProblem("too-large", `a statement may have ${MAX_ENVELOPE_BYTES} bytes`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

function isEnvelope(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return isObject(value) && "payloadType" in value;
  } catch {
    return false;
  }
}

async function openEntries(path: string): Promise<FileHandle> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    throw new Error("it is not a regular file");
  } catch (thrown) {
    throw new SealProblem(
      "wrong-entries",
      `the entries of the baseline were expected beside it as ${path}: ${reasonOf(thrown)}; put them there, or take a new baseline`,
      { cause: thrown },
    );
  }
}

/** The digests of ever longer beginnings, a piece more in each: so that what is read later is proven piece by piece. */
async function prove(handle: FileHandle, { sha256, bytes }: FileEntries): Promise<readonly Buffer[]> {
  const hash = createHash("sha256");
  const digests: Buffer[] = [];
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  let at = 0;
  for (let n = 1; at < bytes; at += n) {
    n = await readWhole(handle, piece, at, Math.min(PIECE_BYTES, bytes - at));
    if (n === 0) break;
    hash.update(piece.subarray(0, n));
    digests.push(hash.copy().digest());
  }
  if (at !== bytes || (await handle.stat()).size !== bytes || hash.digest("hex") !== sha256) throw notThose();
  return digests;
}

async function* readPieces(
  handle: FileHandle,
  { bytes }: FileEntries,
  digests: readonly Buffer[],
): AsyncGenerator<Buffer, void, void> {
  const hash = createHash("sha256");
  // The reader may still need the end of the piece before.
  let [buffer, other] = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)];
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    [buffer, other] = [other, buffer];
    const piece = buffer.subarray(0, Math.min(PIECE_BYTES, bytes - at));
    if ((await readWhole(handle, piece, at, piece.length)) !== piece.length) throw notThose();
    hash.update(piece);
    if (digests[at / PIECE_BYTES]?.equals(hash.copy().digest()) !== true) throw notThose();
    yield piece;
  }
}

async function readWhole(handle: FileHandle, into: Buffer, at: number, length: number): Promise<number> {
  let read = 0;
  while (read < length) {
    const { bytesRead } = await handle.read(into, read, length - read, at + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return read;
}

function notThose(): SealProblem {
  return new SealProblem(
    "wrong-entries",
    "the entries beside the baseline are not those it was made with: they were changed or cut since; take a new baseline",
  );
}

/** Whole entries that lie together. */
interface Block {
  readonly at: number;
  readonly bytes: number;
  readonly first: Buffer;
  readonly sha256: Buffer;
}

async function indexOf(pieces: AsyncGenerator<Buffer, void, void>): Promise<readonly Block[]> {
  const blocks: Block[] = [];
  let rest: Buffer = Buffer.alloc(0);
  let at = 0;
  const add = (bytes: Buffer): void => {
    const path = bytes.subarray(FIXED_BYTES, FIXED_BYTES + pathLength(bytes, 0));
    blocks.push({
      at,
      bytes: bytes.length,
      first: Buffer.from(path),
      sha256: createHash("sha256").update(bytes).digest(),
    });
    at += bytes.length;
  };
  for await (const piece of pieces) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    let from = 0;
    let to = 0;
    for (let size = entrySize(bytes, to, bytes.length); size !== undefined; size = entrySize(bytes, to, bytes.length)) {
      to += size;
      if (to - from < BLOCK_BYTES) continue;
      add(bytes.subarray(from, to));
      from = to;
    }
    rest = bytes.subarray(from);
  }
  if (rest.length > 0) add(rest);
  return blocks;
}

/** The first block in which a path, or what is below it, can be. */
function blockOf(index: readonly Block[], path: Buffer): number {
  let [low, high] = [0, index.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const first = index[middle]?.first ?? path;
    if (comparePaths(first, 0, first.length, path, 0, path.length) <= 0) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

async function readBlock(handle: FileHandle, block: Block): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(block.bytes);
  if ((await readWhole(handle, bytes, block.at, block.bytes)) !== block.bytes) throw notThose();
  if (!createHash("sha256").update(bytes).digest().equals(block.sha256)) throw notThose();
  return bytes;
}

async function readEntry(handle: FileHandle, index: readonly Block[], path: Buffer): Promise<Buffer | undefined> {
  const block = index[blockOf(index, path)];
  if (block === undefined) return undefined;
  const bytes = await readBlock(handle, block);
  for (const [at, size] of entriesOf(bytes)) {
    const from = at + FIXED_BYTES;
    if (bytes.subarray(from, from + pathLength(bytes, at)).equals(path))
      return Buffer.from(bytes.subarray(at, at + size));
  }
  return undefined;
}

function* entriesOf(bytes: Buffer): Generator<readonly [at: number, size: number]> {
  let at = 0;
  for (let size = entrySize(bytes, at, bytes.length); size !== undefined; size = entrySize(bytes, at, bytes.length)) {
    yield [at, size];
    at += size;
  }
}

/** The run of entries at and below one path. */
async function* readBelow(
  handle: FileHandle,
  index: readonly Block[],
  path: Buffer,
): AsyncGenerator<Buffer, void, void> {
  for (const block of index.slice(blockOf(index, path))) {
    const isPast = comparePaths(block.first, 0, block.first.length, path, 0, path.length) > 0;
    if (isPast && !isAtOrBelow(block.first, path)) return;
    const bytes = await readBlock(handle, block);
    let [from, to] = [-1, 0];
    for (const [at, size] of entriesOf(bytes)) {
      const start = at + FIXED_BYTES;
      if (!isAtOrBelow(bytes.subarray(start, start + pathLength(bytes, at)), path)) continue;
      if (from === -1) from = at;
      to = at + size;
    }
    if (from !== -1) yield bytes.subarray(from, to);
  }
}

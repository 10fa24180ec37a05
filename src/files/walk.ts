// Walks over files by the addon: entries in the order of their paths, as fast as they are taken and no faster.

import { encodeRules, type FileRule } from "../baselines/files/rules.ts";
import { SealProblem } from "../baselines/seal-problem.ts";
import { RimonError } from "../errors.ts";
import { requireFilesAddon, type FilesAddon, type FileWalk } from "../native.ts";

const FLAG = { list: 1, stat: 2, cross: 4, idle: 8 } as const;
const COMPARE = { full: 1, keep: 2 } as const;
/** Some more than a batch has as a rule. */
const BATCH_BYTES = 384 * 1024;
const HOLD = 100;
const MAX_RATE = 2 ** 40;

/** How much of the machine a walk may take. */
export interface Pace {
  /** Two if not given. */
  readonly threads?: number;
  /** Last in the queue for the disk and the processor; true if not given. */
  readonly idle?: boolean;
  /** Bytes of content a second; as many as there are if not given. */
  readonly bytesPerSecond?: number;
}

export interface WalkProgress {
  readonly entries: number;
  /** Of content that was read. */
  readonly bytes: number;
  /** Files that went away between the listing of their folder and the look. */
  readonly vanished: number;
}

export interface WalkOptions extends Pace {
  readonly roots: readonly Buffer[];
  readonly rules: readonly FileRule[];
  readonly crossFilesystems: boolean;
  readonly maxBytes: number;
  /** The roots alone, in the order given. */
  readonly list?: boolean;
  /** Nothing but what stat says; folders in full. */
  readonly statOnly?: boolean;
  /** Of each root: how many of its bytes count. */
  readonly limits?: readonly bigint[];
  readonly signal?: AbortSignal;
  /** Is told at every batch. */
  readonly onProgress?: (progress: WalkProgress) => void;
}

/** Batches of whole entries. One is good until the next is asked for. */
export function walk(options: WalkOptions): AsyncGenerator<Buffer, void, void> {
  return batches(options, 0, (walking, into) => walking.next(into));
}

/** What was and what is; both, where they are not alike. */
export interface Pair {
  readonly was?: Buffer;
  readonly is?: Buffer;
  /** What is, is what was. */
  readonly isAlike: boolean;
}

export interface CompareOptions extends WalkOptions {
  /** All that is kept is compared; else, of a walk that is statOnly, what stat says. */
  readonly full: boolean;
  /** What is alike is given, too. */
  readonly keep: boolean;
}

/** Batches of what a walk finds against entries of before, which come in pieces of any size, in the same order. */
export async function* compare(
  before: AsyncIterable<Buffer>,
  options: CompareOptions,
): AsyncGenerator<readonly Pair[], void, void> {
  const how = (options.full ? COMPARE.full : 0) | (options.keep ? COMPARE.keep : 0);
  const pieces = before[Symbol.asyncIterator]();
  // One ahead: while this one is compared the next is read and proven.
  let piece = pieces.next();
  piece.catch(() => {});
  const next = async (walking: FileWalk, into: Buffer): Promise<number | Buffer> => {
    for (;;) {
      if (walking.isHungry()) {
        const { done, value } = await piece;
        give(walking, done === true ? Buffer.alloc(0) : value);
        if (done !== true) piece = pieces.next();
        piece.catch(() => {});
      }
      const batch = await walking.compare(into).catch((thrown: unknown) => Promise.reject(explained(thrown)));
      options.onProgress?.(walking.progress());
      if (batch !== 0 || !walking.isHungry()) return batch;
    }
  };
  try {
    for await (const batch of batches(options, how, next)) yield pairsIn(batch);
  } finally {
    await piece.catch(() => {});
    await pieces.return?.();
  }
}

function give(walking: FileWalk, piece: Buffer): void {
  try {
    walking.give(piece);
  } catch (thrown) {
    throw explained(thrown);
  }
}

function explained(thrown: unknown): unknown {
  if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EBADMSG")) return thrown;
  return new SealProblem(
    "wrong-entries",
    "the entries of the baseline are not whole, or not entries at all; take a new baseline",
    { cause: thrown },
  );
}

const ALIKE = 0xffff_ffff;

/** struct file_pair of native/files.h, and the entries behind it; copied, since they may be kept longer than the others. */
function pairsIn(batch: Buffer): Pair[] {
  const pairs: Pair[] = [];
  for (let at = 0; at < batch.length;) {
    const was = batch.readUInt32LE(at);
    const is = batch.readUInt32LE(at + 4);
    const from = at + 8;
    const between = was === ALIKE ? from : from + was;
    at = between + is;
    pairs.push({
      isAlike: was === ALIKE,
      ...(between === from ? {} : { was: Buffer.from(batch.subarray(from, between)) }),
      ...(is === 0 ? {} : { is: Buffer.from(batch.subarray(between, at)) }),
    });
  }
  return pairs;
}

async function* batches(
  options: WalkOptions,
  how: number,
  take: (walking: FileWalk, into: Buffer) => Promise<number | Buffer>,
): AsyncGenerator<Buffer, void, void> {
  const { roots, threads = 2, idle = true, bytesPerSecond, limits, signal } = options;
  if (roots.length === 0) return;
  const rate = bytesPerSecond === undefined ? undefined : Math.min(Math.max(1, Math.floor(bytesPerSecond)), MAX_RATE);
  const flags =
    (options.list === true ? FLAG.list : 0) |
    (options.statOnly === true ? FLAG.stat : 0) |
    (options.crossFilesystems ? FLAG.cross : 0) |
    (idle ? FLAG.idle : 0);
  signal?.throwIfAborted();
  const walking = open(
    Buffer.concat(roots.flatMap((root) => [root, Buffer.alloc(1)])),
    encodeRules(options.rules),
    BigUint64Array.of(
      BigInt(flags),
      BigInt(threads),
      BigInt(options.maxBytes),
      rate === undefined ? 0n : 1n,
      BigInt(how),
    ),
    limits === undefined ? undefined : BigUint64Array.from(limits),
  );
  const stop = (): void => walking.close();
  signal?.addEventListener("abort", stop, { once: true });
  const allow = (): void => {
    if (rate !== undefined) walking.allow(Math.ceil((rate * HOLD) / 1000));
  };
  allow();
  const pacing = rate === undefined ? undefined : setInterval(allow, HOLD);
  try {
    // One ahead: while this batch is worked on the next is gathered.
    let [into, other] = [Buffer.allocUnsafeSlow(BATCH_BYTES), Buffer.allocUnsafeSlow(BATCH_BYTES)];
    let next = take(walking, into);
    for (;;) {
      const taken = await next;
      const batch = typeof taken === "number" ? into.subarray(0, taken) : taken;
      if (signal?.aborted === true) signal.throwIfAborted();
      options.onProgress?.(walking.progress());
      if (batch.length === 0) return;
      [into, other] = [other, into];
      next = take(walking, into);
      // Whoever leaves early does not wait for it.
      next.catch(() => {});
      yield batch;
    }
  } catch (thrown) {
    signal?.throwIfAborted();
    throw thrown;
  } finally {
    clearInterval(pacing);
    signal?.removeEventListener("abort", stop);
    walking.close();
  }
}

function open(...options: Parameters<FilesAddon["openFileWalk"]>) {
  try {
    return requireFilesAddon().openFileWalk(...options);
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "EINVAL")
      throw new RimonError(
        "RIMON_USAGE",
        "roots must be absolute paths without . and .. and a slash at their end, rules patterns that are not empty",
        { cause: thrown },
      );
    throw thrown;
  }
}

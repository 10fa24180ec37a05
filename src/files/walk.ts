// Walks over files by the addon: entries in the order of their paths, as fast as they are taken and no faster.

import { encodeRules, type FileRule } from "../baselines/files/rules.ts";
import { RimonError } from "../errors.ts";
import { requireFilesAddon, type FilesAddon } from "../native.ts";

const FLAG = { list: 1, stat: 2, cross: 4, idle: 8 } as const;
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

/** Batches of whole entries. */
export async function* walk(options: WalkOptions): AsyncGenerator<Buffer, void, void> {
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
    BigUint64Array.of(BigInt(flags), BigInt(threads), BigInt(options.maxBytes), rate === undefined ? 0n : 1n),
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
    // One ahead: while this batch is compared the next is gathered.
    let next = walking.next();
    for (;;) {
      const batch = await next;
      if (signal?.aborted === true) signal.throwIfAborted();
      options.onProgress?.(walking.progress());
      if (batch.length === 0) return;
      next = walking.next();
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

// One pass over files against a baseline: pairs of what was and what is, in the order of their paths, each read in full
// where stat alone does not say that nothing can have changed.

import { decodeEntry, entrySize, keepMount, type FileEntry } from "../baselines/files/entry.ts";
import type { FileRule } from "../baselines/files/rules.ts";
import type { FileScope } from "../baselines/files/statement.ts";
import { compare, walk, type Pace, type Pair, type WalkProgress } from "./walk.ts";

export interface ScanOptions extends Pace {
  /** Reads every file, also one whose size, times and inode are those of before. */
  readonly full: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: WalkProgress) => void;
}

/** What becomes of each path, in order. Entries are the caller's to keep. */
export interface ScanSink {
  /** Nothing of it can have changed. */
  unchanged?(bytes: Buffer): void;
  /** One of the two is there; they may be alike in all that is compared. */
  pair(before: Buffer | undefined, after: Buffer | undefined): void;
  /** Between two batches; no further path comes before it is done. */
  flush?(): Promise<void>;
}

interface Slot {
  readonly was?: Buffer;
  is?: Buffer;
  readonly isAlike: boolean;
  /** It is read once more; `limit` says how much of it counts. */
  readonly look?: { readonly limit: bigint };
}

const MAX_LOOKS = 256;
const MAX_SLOTS = 8192;
const ALL_OF_IT = 0xffff_ffff_ffff_ffffn;

/** Walks over these roots and holds what is there against these entries of before. */
export async function scan(
  scope: FileScope,
  roots: readonly Buffer[],
  before: AsyncIterable<Buffer>,
  sink: ScanSink,
  options: ScanOptions,
): Promise<void> {
  const { full, ...pace } = options;
  const how = { ...pace, rules: scope.rules, crossFilesystems: scope.crossFilesystems, maxBytes: scope.maxBytes };
  let slots: Slot[] = [];
  let looks = 0;
  let looked: WalkProgress = { entries: 0, bytes: 0, vanished: 0 };
  let walked: WalkProgress = looked;
  const tell = (): void =>
    options.onProgress?.({
      ...walked,
      bytes: walked.bytes + looked.bytes,
      vanished: walked.vanished + looked.vanished,
    });

  const add = (slot: Slot): void => {
    if (slot.look !== undefined) looks++;
    // Nothing waits before it: it need not wait either.
    if (looks === 0) give(slot);
    else slots.push(slot);
  };
  const give = ({ was, is, isAlike }: Slot): void => {
    if (isAlike && is !== undefined) sink.unchanged?.(is);
    else if (was !== undefined || is !== undefined) sink.pair(was, is);
  };
  const flush = async (): Promise<void> => {
    const asked = slots.filter((slot) => slot.look !== undefined);
    if (asked.length > 0) {
      const { bytes, vanished } = looked;
      await lookAgain(asked, {
        ...how,
        onProgress(progress) {
          looked = { entries: 0, bytes: bytes + progress.bytes, vanished: vanished + progress.vanished };
          tell();
        },
      });
    }
    for (const slot of slots) give(slot);
    slots = [];
    looks = 0;
  };

  const compared = compare(before, {
    ...how,
    roots,
    statOnly: !full,
    full,
    keep: sink.unchanged !== undefined,
    onProgress(progress) {
      walked = progress;
      tell();
    },
  });
  for await (const pairs of compared) {
    for (const pair of pairs) {
      add({ ...pair, ...lookOf(pair, scope.rules, full) });
      if (looks >= MAX_LOOKS || slots.length >= MAX_SLOTS) await flush();
    }
    await sink.flush?.();
  }
  await flush();
  await sink.flush?.();
}

/** A file that may grow is read as far as it went; what only stat was asked of is read in full. */
function lookOf(pair: Pair, rules: readonly FileRule[], full: boolean): Pick<Slot, "look"> {
  if (pair.is === undefined || pair.isAlike) return {};
  const is = entryOf(pair.is);
  if (is.stat === undefined) return {};
  const was = pair.was === undefined ? undefined : entryOf(pair.was);
  const limit =
    was?.stat?.type === "file" && rules[was.rule]?.group === "growing" && is.stat.size > was.stat.size
      ? was.stat.size
      : undefined;
  return full && limit === undefined ? {} : { look: { limit: limit ?? ALL_OF_IT } };
}

export function entryOf(bytes: Buffer): FileEntry {
  return decodeEntry(bytes, 0, bytes.length);
}

/** Replaces what stat said by all there is to say; of what is gone meanwhile nothing is left. */
async function lookAgain(
  slots: readonly Slot[],
  how: Omit<Parameters<typeof walk>[0], "roots" | "list" | "limits" | "statOnly">,
): Promise<void> {
  const paths = slots.map(({ is }) => (is === undefined ? Buffer.alloc(0) : entryOf(is).path));
  const limits = slots.map(({ look }) => look?.limit ?? ALL_OF_IT);
  const found: Buffer[] = [];
  for await (const batch of walk({ ...how, roots: paths, list: true, limits })) found.push(...entriesIn(batch));
  let next = 0;
  for (const [index, slot] of slots.entries()) {
    const entry = found[next];
    if (entry === undefined || !entryOf(entry).path.equals(paths[index] ?? entry)) {
      delete slot.is;
      continue;
    }
    next++;
    if (slot.is !== undefined) keepMount(entry, slot.is, 0);
    slot.is = entry;
  }
}

/** Each of a batch of whole entries, copied. */
export function entriesIn(batch: Buffer): Buffer[] {
  const entries: Buffer[] = [];
  let at = 0;
  for (let size = entrySize(batch, at, batch.length); size !== undefined; size = entrySize(batch, at, batch.length)) {
    entries.push(Buffer.from(batch.subarray(at, at + size)));
    at += size;
  }
  return entries;
}

// Goes through entries that come in pieces, one after another, and merges two such runs by their paths.

import { SealProblem } from "../baselines/seal-problem.ts";
import { compareEntries, entrySize } from "../baselines/files/entry.ts";

/** Stands on one entry: bytes[at, at + size). */
export class EntryReader {
  bytes: Buffer = Buffer.alloc(0);
  at = 0;
  size = 0;
  /** The next entry has to be waited for. */
  dry = true;
  done = false;
  readonly #source: AsyncIterator<Buffer>;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** To the next entry, which may have to be waited for. */
  step(): void {
    this.at += this.size;
    this.#find();
  }

  async fill(): Promise<void> {
    while (this.dry) {
      const rest = this.bytes.subarray(this.at);
      const next = await this.#source.next();
      if (next.done === true) {
        if (rest.length > 0)
          throw new SealProblem(
            "wrong-entries",
            `entries end in the middle of one, ${rest.length} bytes before it is whole`,
          );
        this.done = true;
        this.dry = false;
        return;
      }
      this.bytes = rest.length === 0 ? next.value : Buffer.concat([rest, next.value]);
      this.at = 0;
      this.size = 0;
      this.#find();
    }
  }

  /** The entry, copied: the batch it is in is not kept alive by it. */
  copy(): Buffer {
    return Buffer.from(this.bytes.subarray(this.at, this.at + this.size));
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  #find(): void {
    const size = entrySize(this.bytes, this.at, this.bytes.length);
    this.dry = size === undefined;
    this.size = size ?? 0;
  }
}

export interface Visitor {
  /** Two entries of one path, or what may be one: true if they are alike, and nothing more is to be done. */
  alike(before: EntryReader, now: EntryReader): boolean;
  pair(before: EntryReader | undefined, now: EntryReader | undefined): void;
  /** Whether it has so much that it wants to work on it first. */
  isFull(): boolean;
  flush(): Promise<void>;
}

/** Visits every path of the two, in order. */
export async function merge(before: EntryReader, now: EntryReader, visitor: Visitor): Promise<void> {
  try {
    for (;;) {
      if (before.dry) await before.fill();
      if (now.dry) await now.fill();
      if (before.done && now.done) break;
      while (!before.dry && !now.dry && !(before.done && now.done) && !visitor.isFull()) step(before, now, visitor);
      if (visitor.isFull()) await visitor.flush();
    }
    await visitor.flush();
  } finally {
    await before.close();
    await now.close();
  }
}

function step(before: EntryReader, now: EntryReader, visitor: Visitor): void {
  const both = !before.done && !now.done;
  if (both && visitor.alike(before, now)) {
    before.step();
    now.step();
    return;
  }
  const order = before.done ? 1 : now.done ? -1 : compareEntries(before.bytes, before.at, now.bytes, now.at);
  visitor.pair(order <= 0 ? before : undefined, order >= 0 ? now : undefined);
  if (order <= 0) before.step();
  if (order >= 0) now.step();
}

// The lines of one write: the records that wait, and between them what the log itself has to say. Makes bytes, writes
// none and changes nothing: a chunk that was refused is made again.

import { checkpointBody, formatLine, hashOf } from "./audit-record.ts";
import type { Head, Tip } from "./audit-resume.ts";
import type { SigningKey } from "./signing-key.ts";

/** A record that waits to be written. */
export interface Waiting {
  readonly time: string;
  readonly type: string;
  readonly bodyText: string;
  /** At most that many on disk. */
  readonly bytes: number;
}

export interface ChunkOptions {
  readonly log: string;
  readonly tip: Tip;
  /** The first line of the file, if it is not written yet. */
  readonly head: Head | undefined;
  readonly start: Readonly<Record<string, unknown>>;
  readonly queue: readonly Waiting[];
  /** Records lost since that was last written. */
  readonly lost: number;
  readonly trouble: { readonly since: number; readonly reason: string } | undefined;
  readonly closing: boolean;
  readonly key: Pick<SigningKey, "publicKey" | "privateKey">;
  readonly rotateBytes: number;
  readonly checkpointEvery: number;
  readonly now: () => number;
  readonly mayRotate: () => boolean;
}

export interface Chunk {
  readonly bytes: Buffer;
  /** Where the log stands once the bytes are on disk. */
  readonly tip: Tip;
  /** The numbers of the records taken from the queue, in its order. */
  readonly seqs: readonly number[];
  /** Of the lost, how many this chunk tells. */
  readonly lost: number;
  readonly recovers: boolean;
  readonly seals: boolean;
  /** The file is full, to be rotated after this. */
  readonly rotates: boolean;
}

/** Bytes of one write, so that one sync does not take for ever. */
const CHUNK_BYTES = 1024 * 1024;
/** The longest line without its body. */
export const FRAME_BYTES = 220;
const CHECKPOINT_BYTES = FRAME_BYTES + 256;

/** As many records as one write should hold. */
export function composeChunk(options: ChunkOptions): Chunk {
  const { log, tip, head, queue, trouble, key, rotateBytes, checkpointEvery, now } = options;
  const lines: Buffer[] = [];
  const seqs: number[] = [];
  const newline = Buffer.from("\n");
  let bytes = 0;
  let { seq, prev, fileFirstSeq, fileRecords, unsigned } = tip;
  const add = (time: string, type: string, bodyText: string) => {
    seq += 1;
    const line = formatLine(seq, time, type, bodyText, prev);
    lines.push(line, newline);
    bytes += line.length + 1;
    prev = hashOf(line);
    if (fileRecords === 0) fileFirstSeq = seq;
    fileRecords += 1;
    unsigned += 1;
  };
  const addCheckpoint = () => {
    if (unsigned === 0) return;
    const time = new Date(now()).toISOString();
    const facts = { log, seq: seq + 1, time, records: fileRecords, prev };
    add(time, "checkpoint", checkpointBody(facts, key.publicKey, key.privateKey));
    unsigned = 0;
  };
  const addOwn = (type: string, body: object) => add(new Date(now()).toISOString(), type, JSON.stringify(body));

  if (head !== undefined) {
    const { type, facts } = head;
    const rest = type === "start" ? options.start : { publicKey: key.publicKey, ...facts };
    addOwn(type, { log, ...rest });
  }
  let rotates = false;
  for (const waiting of queue) {
    if (bytes >= CHUNK_BYTES) break;
    const full = tip.fileBytes + bytes + waiting.bytes + CHECKPOINT_BYTES > rotateBytes;
    // A file of one line is not rotated: a record larger than a file gets one to itself.
    if (full && fileRecords > 1 && options.mayRotate()) {
      rotates = true;
      break;
    }
    add(waiting.time, waiting.type, waiting.bodyText);
    seqs.push(seq);
    if (unsigned >= checkpointEvery) addCheckpoint();
  }
  const last = !rotates && seqs.length === queue.length;
  const lost = last ? options.lost : 0;
  if (lost > 0) addOwn("lost", { count: lost });
  const recovers = last && trouble !== undefined;
  if (recovers) addOwn("recovered", { message: trouble.reason, since: new Date(trouble.since).toISOString() });
  const seals = last && options.closing;
  if (rotates || seals || unsigned >= checkpointEvery) addCheckpoint();
  return {
    bytes: Buffer.concat(lines),
    tip: { seq, prev, fileFirstSeq, fileRecords, fileBytes: tip.fileBytes + bytes, unsigned },
    seqs,
    lost,
    recovers,
    seals,
    rotates,
  };
}

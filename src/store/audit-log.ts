// Writing the audit log: append-only, chained, signed, and rotated by size. Owns the path, its lock and the order of
// records. Nobody waits for a disk that refuses: records then wait here, in a bounded queue.

import { dirname } from "node:path";
import { RimonError, reasonOf } from "../errors.ts";
import { FRAME_BYTES, composeChunk, type Chunk, type Waiting } from "./audit-chunk.ts";
import { takeLock, type Lock } from "./audit-lock.ts";
import { MAX_LINE_BYTES, isRecordType } from "./audit-record.ts";
import { findEnd, type Found } from "./audit-resume.ts";
import { Tail } from "./audit-tail.ts";
import { errnoOf, makePrivateDirectory } from "./durable.ts";
import { openSigningKey, type SigningKey } from "./signing-key.ts";

export interface AuditLogOptions {
  readonly path: string;
  readonly keyFile: string;
  readonly rotateBytes: number;
  readonly checkpointEvery: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Called once when the log gets into trouble, and once when it is out of it. */
  readonly onTrouble: (message: string, recovered: boolean) => void;
  /** Facts for the "start" record. */
  readonly start?: Readonly<Record<string, unknown>>;
  /** How long until a disk that refused is tried again. Default 1000. */
  readonly retryMs?: number;
  /** How long append() waits for a disk that neither takes nor refuses. Default 2000. */
  readonly patienceMs?: number;
  /** Records held in memory while the disk refuses. Default 10000. */
  readonly queueLimit?: number;
}

export interface Appended {
  /** False: the record waits in memory, or was lost and counted. */
  readonly durable: boolean;
  /** 0 while the record is not written: it gets its number when it is. */
  readonly seq: number;
}

export interface AuditLogStats {
  readonly written: number;
  readonly waiting: number;
  readonly lost: number;
  /** Milliseconds since the epoch. */
  readonly failingSince?: number;
}

export interface AuditLog {
  /** Resolves once the record is on disk, or at once with `durable: false` if the disk does not take it. */
  append(type: string, body: object): Promise<Appended>;
  /** Writes "stop" and a checkpoint and lets go of the log; waits for a hanging disk at most five seconds. */
  close(): Promise<void>;
  stats(): AuditLogStats;
  /** "ed25519:" and the 32 bytes in base64url, as checkpoints name it. */
  readonly publicKey: string;
  readonly publicKeyPem: string;
}

const QUEUE_BYTES = 64 * 1024 * 1024;
const CLOSE_MS = 5000;
/** Written by the log itself; their meaning is fixed. */
const OWN_TYPES = ["checkpoint", "rotate", "damaged"];

interface Entry extends Waiting {
  readonly answer: (appended: Appended) => void;
}

/** Opens a log, continuing what is there; what cannot be continued is set aside, told and recorded. */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  const { path, rotateBytes, checkpointEvery, onTrouble } = options;
  if (!(rotateBytes > 0) || !(checkpointEvery >= 1)) {
    throw new RimonError("RIMON_USAGE", "rotateBytes and checkpointEvery of the audit log must be above zero");
  }
  const key = await openSigningKey(options.keyFile);
  let lock: Lock | undefined;
  try {
    await makePrivateDirectory(dirname(path));
    lock = await takeLock(path).catch((thrown: unknown) => {
      // A full disk must not keep the monitor from starting; the lock is taken before the first write.
      if (isDiskRefusal(thrown)) return undefined;
      throw thrown;
    });
    const found = await findEnd(path, key.publicKey, options.now);
    if (key.note !== undefined) onTrouble(key.note, true);
    const writer = new Writer(options, key, lock, found);
    await writer.begin(found);
    return writer;
  } catch (thrown) {
    await lock?.release();
    if (thrown instanceof RimonError) throw thrown;
    throw new RimonError(
      "RIMON_AUDIT",
      `the audit log ${path} cannot be opened: ${reasonOf(thrown)}; let audit.path name a place rimon can write to`,
      { cause: thrown },
    );
  }
}

class Writer implements AuditLog {
  readonly publicKey: string;
  readonly publicKeyPem: string;

  readonly #options: AuditLogOptions;
  readonly #key: SigningKey;
  #lock: Lock | undefined;
  readonly #tail: Tail;

  readonly #queue: Entry[] = [];
  #queueBytes = 0;
  #lost = 0;
  #lostInAll = 0;
  #written = 0;
  #trouble: { readonly since: number; readonly reason: string } | undefined;
  #rotationRefused: { readonly at: number; readonly reason: string } | undefined;
  #retry: NodeJS.Timeout | undefined;
  #pump: Promise<void> | undefined;
  #begun: (() => void) | undefined;
  #closing = false;
  #sealed = false;
  #closed: Promise<void> | undefined;

  constructor(options: AuditLogOptions, key: SigningKey, lock: Lock | undefined, found: Found) {
    this.#options = options;
    this.#key = key;
    this.#lock = lock;
    const { path, now } = options;
    const onBegunAnew = (reason: string, file: string) =>
      this.#refuse(reason, `was set aside as ${file}, and a new one is begun: ${reason}`);
    this.#tail = new Tail({ path, now, onBegunAnew }, found);
    this.publicKey = key.publicKey;
    this.publicKeyPem = key.publicKeyPem;
  }

  async begin(found: Found): Promise<void> {
    if (found.damage !== undefined) this.#refuse(found.damage, `is begun anew: ${found.damage}`);
    for (const message of found.notes) this.#enqueue("recovered", JSON.stringify({ message }), () => {});
    // A log that begins here has its "start" as the first line already.
    if (found.head?.type !== "start") this.#enqueue("start", JSON.stringify(this.#startFacts()), () => {});
    // Not longer than the disk takes to write or to refuse: the monitor has to start.
    const refused = new Promise<void>((resolve) => (this.#begun = resolve));
    await Promise.race([this.#run(), refused]);
  }

  async append(type: string, body: object): Promise<Appended> {
    if (!isRecordType(type) || OWN_TYPES.includes(type)) {
      throw new RimonError(
        "RIMON_USAGE",
        `an audit record's type must be a lower-case word and none of ${OWN_TYPES.join(", ")}, got ${type}`,
      );
    }
    if (this.#closing) throw new RimonError("RIMON_USAGE", `the audit log is closed; this ${type} came after its end`);
    const bodyText = textOf(type, body);
    if (!bodyText.startsWith("{") || bodyText.length * 3 + FRAME_BYTES > MAX_LINE_BYTES) {
      throw new RimonError(
        "RIMON_USAGE",
        `the body of a ${type} must be an object of at most 5 MiB, got ${bodyText.length} characters`,
      );
    }
    return await new Promise((resolve) => {
      const queued = this.#enqueue(type, bodyText, resolve);
      if (!queued || this.#trouble !== undefined) resolve({ durable: false, seq: 0 });
      // A disk that refused is tried by the retry timer, not by every record that comes.
      if (this.#trouble === undefined || this.#pump !== undefined) void this.#run();
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  stats(): AuditLogStats {
    return {
      written: this.#written,
      waiting: this.#queue.length,
      lost: this.#lostInAll,
      ...(this.#trouble === undefined ? {} : { failingSince: this.#trouble.since }),
    };
  }

  async #close(): Promise<void> {
    const { path } = this.#options;
    clearTimeout(this.#retry);
    this.#push("stop", "{}", () => {});
    this.#closing = true;
    let timer: NodeJS.Timeout | undefined;
    const done = await Promise.race([
      this.#finish().then(() => true),
      new Promise<false>((resolve) => {
        timer = setTimeout(() => resolve(false), CLOSE_MS);
      }),
    ]);
    clearTimeout(timer);
    if (!this.#sealed) {
      const reason = this.#trouble?.reason ?? "the disk did not answer in time";
      this.#options.onTrouble(
        `the audit log ${path} ends with ${this.#queue.length} records unwritten: ${reason}`,
        false,
      );
    }
    // A write that hangs still owns the descriptor and the right to the file.
    if (!done) return;
    await this.#tail.close();
    await this.#lock?.release();
  }

  /** One last try, also if the disk refused until now. */
  async #finish(): Promise<void> {
    await this.#pump;
    if (!this.#sealed) await this.#run();
    clearTimeout(this.#retry);
  }

  #enqueue(type: string, bodyText: string, answer: Entry["answer"]): boolean {
    const { queueLimit = 10_000 } = this.#options;
    if (this.#queue.length < queueLimit && this.#queueBytes + bodyText.length <= QUEUE_BYTES) {
      this.#push(type, bodyText, answer);
      return true;
    }
    this.#lost += 1;
    this.#lostInAll += 1;
    if (this.#trouble === undefined) this.#refuse("records come faster than the disk takes them");
    if (this.#lost === 1) {
      this.#options.onTrouble(
        `the audit log's queue of ${queueLimit} records is full; records are lost from now on, and counted`,
        false,
      );
    }
    return false;
  }

  #push(type: string, bodyText: string, answer: Entry["answer"]): void {
    const time = new Date(this.#options.now()).toISOString();
    const bytes = Buffer.byteLength(bodyText) + FRAME_BYTES;
    this.#queue.push({ time, type, bodyText, bytes, answer });
    this.#queueBytes += bytes;
  }

  /** Writes until nothing is due or the disk refuses. One runs at a time; whoever comes meanwhile shares it. */
  #run(): Promise<void> {
    this.#pump ??= this.#drain();
    return this.#pump;
  }

  async #drain(): Promise<void> {
    clearTimeout(this.#retry);
    // What else is appended in this turn shares the sync.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      while (this.#due() && (await this.#writeSome()));
    } finally {
      // In the same turn as the last look at the queue, so that a record appended after it starts the next run.
      this.#pump = undefined;
    }
  }

  /** One write; false if the disk refused it, and a retry is set. */
  async #writeSome(): Promise<boolean> {
    const { patienceMs = 2000, retryMs = 1000 } = this.#options;
    const impatience = setTimeout(() => this.#refuse(`the disk has not answered for ${patienceMs} ms`), patienceMs);
    try {
      this.#lock ??= await takeLock(this.#options.path);
      await this.#tail.prepare();
      const chunk = this.#fill();
      if (chunk.bytes.length > 0) await this.#tail.write(chunk.bytes);
      this.#settle(chunk);
      if (chunk.rotates) await this.#rotate();
      return true;
    } catch (thrown) {
      this.#refuse(reasonOf(thrown));
      await this.#tail.cut().catch(() => {}); // tried again before the next write
      this.#retry = setTimeout(() => void this.#run(), retryMs);
      this.#retry.unref();
      return false;
    } finally {
      clearTimeout(impatience);
    }
  }

  #due(): boolean {
    return (
      this.#queue.length > 0 ||
      this.#lost > 0 ||
      this.#trouble !== undefined ||
      this.#tail.head !== undefined ||
      (this.#closing && !this.#sealed)
    );
  }

  #fill(): Chunk {
    const { rotateBytes, checkpointEvery, now } = this.#options;
    return composeChunk({
      log: this.#tail.log,
      tip: this.#tail.tip,
      head: this.#tail.head,
      start: this.#startFacts(),
      queue: this.#queue,
      lost: this.#lost,
      trouble: this.#trouble,
      closing: this.#closing,
      key: this.#key,
      rotateBytes,
      checkpointEvery,
      now,
      mayRotate: () => this.#mayRotate(),
    });
  }

  /** What was written is so: answers, and moves on. */
  #settle(chunk: Chunk): void {
    this.#written += chunk.tip.seq - this.#tail.tip.seq;
    this.#tail.moveTo(chunk.tip);
    this.#lost -= chunk.lost;
    if (chunk.seals) this.#sealed = true;
    const taken = this.#queue.splice(0, chunk.seqs.length);
    for (const [index, entry] of taken.entries()) {
      this.#queueBytes -= entry.bytes;
      entry.answer({ durable: true, seq: chunk.seqs[index] ?? 0 });
    }
    if (!chunk.recovers || this.#trouble === undefined) return;
    const { reason, since } = this.#trouble;
    this.#trouble = undefined;
    const seconds = Math.round((this.#options.now() - since) / 1000);
    this.#options.onTrouble(`the audit log is being written again after ${seconds} s (${reason})`, true);
  }

  /** The disk does not take records: everybody who waits is told, and the records stay. */
  #refuse(reason: string, told = `cannot be written: ${reason}; records wait in memory`): void {
    for (const entry of this.#queue) entry.answer({ durable: false, seq: 0 });
    this.#begun?.();
    if (this.#trouble !== undefined) return;
    this.#trouble = { since: this.#options.now(), reason };
    this.#options.onTrouble(`the audit log ${this.#options.path} ${told}`, false);
  }

  #mayRotate(): boolean {
    const { now, retryMs = 1000 } = this.#options;
    return this.#rotationRefused === undefined || now() - this.#rotationRefused.at >= retryMs;
  }

  async #rotate(): Promise<void> {
    const { path, now, onTrouble } = this.#options;
    const reason = await this.#tail.rotate();
    if (reason === undefined) {
      if (this.#rotationRefused !== undefined) onTrouble(`the audit log ${path} could be rotated again`, true);
      this.#rotationRefused = undefined;
      return;
    }
    // A file that grows too long is better than one that is not written.
    const first = this.#rotationRefused === undefined;
    this.#rotationRefused = { at: now(), reason };
    if (first) onTrouble(`the audit log ${path} cannot be rotated and grows past its size: ${reason}`, false);
  }

  #startFacts(): Record<string, unknown> {
    return { publicKey: this.publicKey, pid: process.pid, ...this.#options.start };
  }
}

function textOf(type: string, body: object): string {
  try {
    // toJSON() may give anything, also undefined.
    return String(JSON.stringify(body));
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", `the body of a ${type} must be plain data: ${reasonOf(thrown)}`, {
      cause: thrown,
    });
  }
}

function isDiskRefusal(thrown: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EROFS", "EIO"].includes(errnoOf(thrown) ?? "");
}

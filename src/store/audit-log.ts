// Writing the audit log: append-only, chained, signed, and rotated by size. Owns the path, its lock and the order of
// records. Nobody waits for a disk that refuses: records then wait here, in a bounded queue.

import { constants } from "node:fs";
import { lstat, open, rename, type FileHandle } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { RimonError, reasonOf } from "../errors.ts";
import { rotatedPath } from "./audit-files.ts";
import { takeLock, type Lock } from "./audit-lock.ts";
import { GENESIS, MAX_LINE_BYTES, checkpointBody, formatLine, hashOf, isRecordType } from "./audit-record.ts";
import { findEnd, newFile, newLogId, setAside, type Found, type Head, type Tip } from "./audit-resume.ts";
import { errnoOf, makePrivateDirectory, syncDirectory } from "./durable.ts";
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
/** Bytes of one write, so that one sync does not take for ever. */
const CHUNK_BYTES = 1024 * 1024;
/** The longest line without its body. */
const FRAME_BYTES = 220;
const CHECKPOINT_BYTES = FRAME_BYTES + 256;
const CLOSE_MS = 5000;
/** Written by the log itself; their meaning is fixed. */
const OWN_TYPES = ["checkpoint", "rotate", "damaged"];

interface Entry {
  readonly time: string;
  readonly type: string;
  readonly bodyText: string;
  readonly bytes: number;
  readonly answer: (appended: Appended) => void;
}

interface Chunk {
  readonly bytes: Buffer;
  readonly tip: Tip;
  readonly seqs: readonly number[];
  readonly lost: number;
  readonly recovers: boolean;
  readonly seals: boolean;
  readonly rotates: boolean;
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
  #handle: FileHandle | undefined;
  #log: string;
  #tip: Tip;
  /** The first line of the current file, as long as it is not written. */
  #head: Head | undefined;
  /** The current file was there when the log was opened. */
  #there: boolean;
  /** Bytes may stand behind the tip's end. */
  #cutDue: boolean;
  /** A name was made or changed and the directory not yet synced. */
  #directoryDue: boolean;

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
    this.#log = found.log;
    this.#tip = found.tip;
    this.#head = found.head;
    this.#there = found.there;
    this.#directoryDue = found.head !== undefined;
    this.#cutDue = found.tornBytes > 0;
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
    await this.#handle?.close();
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
      await this.#prepare();
      const chunk = this.#fill();
      if (chunk.bytes.length > 0) await this.#write(chunk);
      this.#settle(chunk);
      if (chunk.rotates) await this.#rotate();
      return true;
    } catch (thrown) {
      this.#refuse(reasonOf(thrown));
      await this.#cut().catch(() => {}); // tried again before the next write: cutDue stands
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
      this.#head !== undefined ||
      (this.#closing && !this.#sealed)
    );
  }

  /** Lock, file and end of file as they must be before a write. */
  async #prepare(): Promise<void> {
    const { path } = this.#options;
    this.#lock ??= await takeLock(path);
    if (this.#handle !== undefined) {
      const reason = await this.#tampered(this.#handle);
      if (reason !== undefined) await this.#beginAnew(reason);
    }
    this.#handle ??= this.#there ? await this.#reopen() : await this.#create();
    await this.#cut();
  }

  async #reopen(): Promise<FileHandle> {
    const handle = await open(this.#options.path, constants.O_WRONLY | constants.O_NOFOLLOW).catch(
      (thrown: unknown) => {
        if (errnoOf(thrown) === "ENOENT") return undefined;
        throw thrown;
      },
    );
    if (handle !== undefined) return handle;
    await this.#beginAnew("it was removed before it could be written");
    return await this.#create();
  }

  /** What others did to the file since the last write, if anything. */
  async #tampered(handle: FileHandle): Promise<string | undefined> {
    const mine = await handle.stat();
    const there = await lstat(this.#options.path).catch((thrown: unknown) => {
      if (errnoOf(thrown) === "ENOENT") return undefined;
      throw thrown;
    });
    if (there === undefined) return "it was removed or renamed while it was being written";
    if (there.ino !== mine.ino || there.dev !== mine.dev) return "it was replaced while it was being written";
    const expected = this.#tip.fileBytes;
    if (mine.size === expected || (this.#cutDue && mine.size > expected)) return undefined;
    return `it has ${mine.size} bytes instead of the ${expected} written`;
  }

  async #beginAnew(reason: string): Promise<void> {
    const { path, now } = this.#options;
    const { seq, fileRecords } = this.#tip;
    const file = (await setAside(path, now())) ?? basename(path);
    await this.#handle?.close();
    this.#handle = undefined;
    this.#there = false;
    this.#directoryDue = true;
    this.#cutDue = false;
    this.#head = {
      type: "damaged",
      facts: { file, line: fileRecords + 1, lastGoodSeq: seq, reason, previousLog: this.#log },
    };
    this.#log = newLogId();
    this.#tip = newFile(seq, GENESIS);
    this.#refuse(reason, `was set aside as ${file}, and a new one is begun: ${reason}`);
  }

  async #create(): Promise<FileHandle> {
    const { path, now } = this.#options;
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    this.#directoryDue = true;
    try {
      return await open(path, flags, 0o600);
    } catch (thrown) {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    }
    // Not ours: rotation renamed ours away, or there was none.
    await setAside(path, now());
    return await open(path, flags, 0o600);
  }

  async #cut(): Promise<void> {
    if (!this.#cutDue || this.#handle === undefined) return;
    await this.#handle.truncate(this.#tip.fileBytes);
    this.#cutDue = false;
  }

  /** As many records as one write should hold, with what the log itself has to say between them. */
  #fill(): Chunk {
    const { rotateBytes, checkpointEvery, now } = this.#options;
    const lines: Buffer[] = [];
    const seqs: number[] = [];
    const newline = Buffer.from("\n");
    let bytes = 0;
    let { seq, prev, fileFirstSeq, fileRecords, unsigned } = this.#tip;
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
      const facts = { log: this.#log, seq: seq + 1, time, records: fileRecords, prev };
      add(time, "checkpoint", checkpointBody(facts, this.#key.publicKey, this.#key.privateKey));
      unsigned = 0;
    };
    const addOwn = (type: string, body: object) => add(new Date(now()).toISOString(), type, JSON.stringify(body));

    if (this.#head !== undefined) {
      const { type, facts } = this.#head;
      const rest = type === "start" ? this.#startFacts() : { publicKey: this.publicKey, ...facts };
      addOwn(type, { log: this.#log, ...rest });
    }
    let rotates = false;
    for (const entry of this.#queue) {
      if (bytes >= CHUNK_BYTES) break;
      const full = this.#tip.fileBytes + bytes + entry.bytes + CHECKPOINT_BYTES > rotateBytes;
      // A file of one line is not rotated: a record larger than a file gets one to itself.
      if (full && fileRecords > 1 && this.#mayRotate()) {
        rotates = true;
        break;
      }
      add(entry.time, entry.type, entry.bodyText);
      seqs.push(seq);
      if (unsigned >= checkpointEvery) addCheckpoint();
    }
    const last = !rotates && seqs.length === this.#queue.length;
    const lost = last ? this.#lost : 0;
    if (lost > 0) addOwn("lost", { count: lost });
    const recovers = last && this.#trouble !== undefined;
    if (recovers && this.#trouble !== undefined) {
      addOwn("recovered", { message: this.#trouble.reason, since: new Date(this.#trouble.since).toISOString() });
    }
    const seals = last && this.#closing;
    if (rotates || seals || unsigned >= checkpointEvery) addCheckpoint();
    return {
      bytes: Buffer.concat(lines),
      tip: { seq, prev, fileFirstSeq, fileRecords, fileBytes: this.#tip.fileBytes + bytes, unsigned },
      seqs,
      lost,
      recovers,
      seals,
      rotates,
    };
  }

  async #write({ bytes }: Chunk): Promise<void> {
    if (this.#handle === undefined) throw new TypeError("a write before the file was made");
    this.#cutDue = true;
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.#tip.fileBytes + done);
      done += bytesWritten;
    }
    await this.#handle.datasync();
    if (this.#directoryDue) {
      await syncDirectory(dirname(this.#options.path));
      this.#directoryDue = false;
    }
    this.#cutDue = false;
  }

  /** What was written is so: answers, and moves the tip. */
  #settle(chunk: Chunk): void {
    this.#written += chunk.tip.seq - this.#tip.seq;
    this.#tip = chunk.tip;
    this.#head = undefined;
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

  /** Gives the full file its name; the next write makes the new one. After a crash in between, open() does. */
  async #rotate(): Promise<void> {
    const { path, now, onTrouble } = this.#options;
    const rotated = rotatedPath(path, this.#tip.fileFirstSeq);
    try {
      await setAside(rotated, now());
      await rename(path, rotated);
    } catch (thrown) {
      // A file that grows too long is better than one that is not written.
      const first = this.#rotationRefused === undefined;
      this.#rotationRefused = { at: now(), reason: reasonOf(thrown) };
      if (first)
        onTrouble(`the audit log ${path} cannot be rotated and grows past its size: ${reasonOf(thrown)}`, false);
      return;
    }
    if (this.#rotationRefused !== undefined) onTrouble(`the audit log ${path} could be rotated again`, true);
    this.#rotationRefused = undefined;
    const full = this.#handle;
    this.#handle = undefined;
    this.#there = false;
    this.#directoryDue = true;
    this.#head = { type: "rotate", facts: { previous: basename(rotated) } };
    this.#tip = newFile(this.#tip.seq, this.#tip.prev);
    await full?.close();
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

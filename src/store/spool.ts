// Alerts on their way: every outbox keeps its own on disk, in order, until they are delivered. At least once: a crash
// between a delivery and the removal of its file sends it again, so payloads carry ids.

import { randomInt } from "node:crypto";
import { readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { RimonError, reasonOf } from "../errors.ts";
import { errnoOf, ignoreMissing, makePrivateDirectory, syncDirectory, writeNewFile } from "./durable.ts";
import { abandonedIn, alertFile, outboxDirectory, renameDirectory } from "./outbox-directory.ts";
import { readSmallFile, unwrap, wrap } from "./spool-file.ts";
import { RefusedAlerts, isPermanent } from "./spool-refused.ts";

export interface SpoolOptions {
  readonly directory: string;
  /** Alerts that may wait in one outbox. */
  readonly maxAlerts: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Called when an outbox gets into trouble, and when it is out of it. */
  readonly onTrouble: (message: string, recovered: boolean) => void;
}

export interface OutboxOptions {
  /** Names its directory instead of its name, which may change; what waits under the name is taken over. */
  readonly key?: string;
  /** The first and the longest pause between two tries. Default 1000 and 60000. */
  readonly minRetryMs?: number;
  readonly maxRetryMs?: number;
  /** How long one delivery may take. Default 15000. */
  readonly timeoutMs?: number;
  /** How often in a row, and over how long, an alert is refused for good before it is put aside. Default 10 and 600000. */
  readonly finalRefusals?: number;
  readonly finalRefusalMs?: number;
}

export interface OutboxStats {
  readonly waiting: number;
  readonly delivered: number;
  /** Pushed while the outbox was full. */
  readonly refused: number;
  /** Taken out of the way because the sink refused them for good. */
  readonly putAside: number;
  /** Milliseconds since the epoch. */
  readonly failingSince?: number;
}

/**
 * Resolves when the payload is taken; rejects, or runs into the signal, if it is to be tried again. An error with
 * `permanent: true` says that the sink refused this payload and will do so again.
 */
export type Deliver = (payload: string, signal: AbortSignal) => Promise<void>;

export interface Outbox {
  /** Resolves once the payload is on disk (or, if the disk refuses, held in memory), or "full" if it is refused. */
  push(payload: string): Promise<"queued" | "full">;
  stats(): OutboxStats;
}

export interface Spool {
  /** Opens the outbox of a sink and goes on delivering what waits in it. */
  outbox(name: string, deliver: Deliver, options?: OutboxOptions): Outbox;
  /** Tells what waits for sinks whose outboxes were not opened: to be called when all were. */
  tellAbandoned(): Promise<void>;
  /** Delivers to sinks that take alerts for at most `graceMs` more. What waits then is delivered after the next start. */
  close(graceMs: number): Promise<void>;
}

/** Opens the directory that undelivered alerts wait in. */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  if (!(options.maxAlerts >= 1)) throw new RimonError("RIMON_USAGE", "maxAlerts of the spool must be above zero");
  // One that cannot be made is told by every outbox, which then holds its alerts in memory.
  await makePrivateDirectory(options.directory).catch(() => {});
  const outboxes = new Map<string, DiskOutbox>();
  return {
    outbox(name, deliver, outboxOptions = {}) {
      const own = outboxDirectory(options.directory, outboxOptions.key ?? name);
      if (outboxes.has(own)) throw new RimonError("RIMON_USAGE", `the outbox ${name} is open already`);
      const outbox = new DiskOutbox(name, own, deliver, options, outboxOptions);
      outboxes.set(own, outbox);
      return outbox;
    },
    async tellAbandoned() {
      // One that is being opened may be about to take over what an earlier version left.
      await Promise.all([...outboxes.values()].map(({ loaded }) => loaded));
      try {
        const sentences = await abandonedIn(options.directory, new Set(outboxes.keys()));
        for (const sentence of sentences) options.onTrouble(sentence, false);
      } catch (thrown) {
        options.onTrouble(`what else waits in ${options.directory} cannot be read: ${reasonOf(thrown)}`, false);
      }
    },
    async close(graceMs) {
      await Promise.all([...outboxes.values()].map((outbox) => outbox.close(graceMs)));
    },
  };
}

interface Waiting {
  readonly seq: number;
  /** While it could not be written to disk. */
  payload: string | undefined;
}

interface Refusal {
  readonly reason: string;
  readonly permanent: boolean;
}

const SEQ_DIGITS = 12;

class DiskOutbox implements Outbox {
  readonly #name: string;
  readonly #deliver: Deliver;
  readonly #directory: string;
  readonly #maxAlerts: number;
  readonly #now: () => number;
  readonly #onTrouble: SpoolOptions["onTrouble"];
  readonly #minRetryMs: number;
  readonly #maxRetryMs: number;
  readonly #timeoutMs: number;

  /** On disk or in memory, in order. */
  readonly #queue: Waiting[] = [];
  /** Pushed, but not in the queue yet. */
  #arriving = 0;
  #nextSeq = 1;
  #delivered = 0;
  #refused = 0;
  /** Refused since the outbox was last empty. */
  #refusedNow = 0;
  #failures = 0;
  #failingSince: number | undefined;
  readonly #refusedForGood: RefusedAlerts;
  #putAside = 0;
  #diskTrouble: string | undefined;

  /** Resolves when what an earlier run left is known. */
  readonly loaded: Promise<void>;
  /** Disk work, one after the other. */
  #disk: Promise<unknown>;
  #stopping = false;
  #graceOver = false;
  #inFlight: AbortController | undefined;
  /** Ends the pause the worker is in. */
  #wake: (() => void) | undefined;
  #idle = false;
  readonly #worker: Promise<void>;
  #closed: Promise<void> | undefined;

  constructor(name: string, directory: string, deliver: Deliver, spool: SpoolOptions, options: OutboxOptions) {
    this.#name = name;
    this.#deliver = deliver;
    this.#directory = directory;
    this.#maxAlerts = spool.maxAlerts;
    this.#now = spool.now;
    this.#onTrouble = spool.onTrouble;
    this.#minRetryMs = options.minRetryMs ?? 1000;
    this.#maxRetryMs = options.maxRetryMs ?? 60_000;
    this.#timeoutMs = options.timeoutMs ?? 15_000;
    this.#refusedForGood = new RefusedAlerts({
      times: options.finalRefusals ?? 10,
      spanMs: options.finalRefusalMs ?? 600_000,
      maxKept: spool.maxAlerts,
    });
    this.loaded = this.#load(options.key === undefined ? undefined : outboxDirectory(spool.directory, name));
    this.#disk = this.loaded;
    this.#worker = this.loaded.then(() => this.#work());
  }

  async push(payload: string): Promise<"queued" | "full"> {
    if (this.#arriving >= this.#maxAlerts) return this.#refuse();
    this.#arriving += 1;
    // After loading, and in the order of the calls.
    const taken = this.#disk.then(() => this.#take(payload));
    this.#disk = taken.catch(() => {}); // whoever pushed is told
    return await taken.finally(() => {
      this.#arriving -= 1;
    });
  }

  stats(): OutboxStats {
    return {
      waiting: this.#queue.length,
      delivered: this.#delivered,
      refused: this.#refused,
      putAside: this.#putAside,
      ...(this.#failingSince === undefined ? {} : { failingSince: this.#failingSince }),
    };
  }

  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs);
    return this.#closed;
  }

  async #close(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#wake?.();
    const grace = setTimeout(() => {
      this.#graceOver = true;
      this.#inFlight?.abort(new Error("rimon is stopping"));
    }, graceMs);
    await this.#worker;
    clearTimeout(grace);
    await (this.#disk = this.#disk.then(() => this.#writeHeld()));
    const held = this.#queue.filter(({ payload }) => payload !== undefined).length;
    if (held === 0) return;
    this.#onTrouble(`${held} alerts for ${this.#name} were only in memory and are lost: ${this.#diskTrouble}`, false);
  }

  /** Finds what an earlier run left, in this directory or in a former one. */
  async #load(former: string | undefined): Promise<void> {
    let files: string[];
    try {
      if (former !== undefined) await renameDirectory(former, this.#directory);
      await makePrivateDirectory(this.#directory);
      files = await readdir(this.#directory);
    } catch (thrown) {
      // What could not be listed waits for the next start; a number far above keeps it from being overwritten.
      this.#nextSeq = this.#now();
      this.#diskRefused(thrown);
      return;
    }
    const refused: number[] = [];
    for (const file of files) {
      const alert = alertFile(file);
      if (alert === undefined) continue;
      const { seq, aside } = alert;
      // A number is not used twice, or a file of the same name that was put aside would be overwritten.
      this.#nextSeq = Math.max(this.#nextSeq, seq + 1);
      if (aside === undefined) this.#queue.push({ seq, payload: undefined });
      if (aside === "refused") refused.push(seq);
    }
    this.#queue.sort((a, b) => a.seq - b.seq);
    this.#refusedForGood.found(refused.sort((a, b) => a - b).map((seq) => this.#file(seq)));
    try {
      for (const file of files) if (file.endsWith(".tmp")) await unlink(join(this.#directory, file));
    } catch (thrown) {
      this.#diskRefused(thrown);
    }
  }

  async #take(payload: string): Promise<"queued" | "full"> {
    if (this.#queue.length >= this.#maxAlerts) return this.#refuse();
    const waiting: Waiting = { seq: this.#nextSeq, payload };
    this.#nextSeq += 1;
    if (await this.#writeHeld()) await this.#write(waiting);
    this.#queue.push(waiting);
    if (this.#idle) this.#wake?.();
    return "queued";
  }

  #refuse(): "full" {
    this.#refused += 1;
    this.#refusedNow += 1;
    if (this.#refusedNow === 1) {
      this.#onTrouble(
        `the outbox of ${this.#name} is full (${this.#maxAlerts} alerts wait); new alerts are refused and counted`,
        false,
      );
    }
    return "full";
  }

  /** Puts what waits in memory on disk; false if the disk still refuses. */
  async #writeHeld(): Promise<boolean> {
    // Held alerts are the newest, so that files stay in order.
    for (const waiting of this.#queue.filter(({ payload }) => payload !== undefined)) {
      if (!(await this.#write(waiting))) return false;
    }
    return true;
  }

  async #write(waiting: Waiting): Promise<boolean> {
    if (waiting.payload === undefined) return true;
    const file = this.#file(waiting.seq);
    try {
      await makePrivateDirectory(this.#directory);
      await unlink(`${file}.tmp`).catch(ignoreMissing);
      await writeNewFile(`${file}.tmp`, wrap(waiting.payload, this.#now()), 0o600);
      await rename(`${file}.tmp`, file);
      await syncDirectory(this.#directory);
    } catch (thrown) {
      this.#diskRefused(thrown);
      return false;
    }
    waiting.payload = undefined;
    if (this.#diskTrouble !== undefined) {
      this.#onTrouble(`the spool of ${this.#name} can be written again (${this.#diskTrouble})`, true);
      this.#diskTrouble = undefined;
    }
    return true;
  }

  #diskRefused(thrown: unknown): void {
    const first = this.#diskTrouble === undefined;
    this.#diskTrouble = reasonOf(thrown);
    if (!first) return;
    this.#onTrouble(
      `the spool directory ${this.#directory} cannot be written (${this.#diskTrouble}); ` +
        `at most ${this.#maxAlerts} alerts for ${this.#name} wait in memory, and a restart loses them`,
      false,
    );
  }

  /** Delivers the oldest until stopped, and then what a sink that takes alerts can be given in the grace. */
  async #work(): Promise<void> {
    while (!this.#stopping || (this.#queue.length > 0 && this.#failures === 0 && !this.#graceOver)) {
      const [oldest] = this.#queue;
      if (oldest === undefined) {
        await this.#pause();
        continue;
      }
      const payload = oldest.payload ?? (await this.#read(oldest));
      if (payload === undefined) {
        this.#queue.shift();
        this.#tellDrained();
        continue;
      }
      const refusal = await this.#attempt(payload);
      if (refusal === undefined) {
        await this.#remove(oldest);
        continue;
      }
      if (this.#stopping) return;
      const settled = this.#refusedForGood.isSettled(this.#file(oldest.seq), refusal.permanent);
      if (settled && (await this.#putOldestAside(oldest, refusal.reason))) continue;
      this.#failed(refusal.reason);
      this.#disk = this.#disk.then(() => this.#writeHeld());
      await this.#pause(this.#backoffMs());
    }
  }

  /** One delivery; why it was not taken, if so. */
  async #attempt(payload: string): Promise<Refusal | undefined> {
    const flight = new AbortController();
    this.#inFlight = flight;
    const timer = setTimeout(() => flight.abort(new Error(`no answer within ${this.#timeoutMs} ms`)), this.#timeoutMs);
    // A sink that does not heed its signal must not hold up the others.
    const aborted = new Promise<never>((_, reject) => {
      flight.signal.addEventListener("abort", () => reject(flight.signal.reason as Error), { once: true });
    });
    try {
      await Promise.race([this.#deliver(payload, flight.signal), aborted]);
      return undefined;
    } catch (thrown) {
      if (flight.signal.aborted) return { reason: reasonOf(flight.signal.reason), permanent: false };
      return { reason: reasonOf(thrown), permanent: isPermanent(thrown) };
    } finally {
      clearTimeout(timer);
      this.#inFlight = undefined;
    }
  }

  #failed(reason: string): void {
    this.#failures += 1;
    this.#failingSince ??= this.#now();
    if (this.#failures !== 2) return;
    const since = new Date(this.#failingSince).toISOString();
    this.#onTrouble(
      `${this.#name} has been refusing since ${since}, ${this.#queue.length} alerts wait: ${reason}`,
      false,
    );
  }

  /** Keeps it on disk and lets the next one pass; false while the disk does not take it. */
  async #putOldestAside(waiting: Waiting, reason: string): Promise<boolean> {
    // A push may be writing this very alert to disk, or it was only in memory until now.
    const moved = this.#disk.then(async () => {
      await this.#writeHeld();
      if (waiting.payload !== undefined) return undefined;
      // One that is gone is told when it is read next.
      const kept = await this.#refusedForGood.keep(this.#file(waiting.seq));
      if (kept !== undefined) this.#queue.shift();
      return kept;
    });
    const told = moved.catch((thrown: unknown) => {
      this.#diskRefused(thrown);
      return undefined;
    });
    this.#disk = told;
    const kept = await told;
    if (kept === undefined) return false;
    this.#putAside += 1;
    const times = this.#refusedForGood.times;
    this.#onTrouble(
      `${this.#name} refused an alert for good, ${times} times: ${reason}; it is kept as ${kept} and not tried again`,
      false,
    );
    for (const message of await this.#refusedForGood.removeOldest()) this.#onTrouble(message, false);
    this.#tellDrained();
    return true;
  }

  /** After a delivery. */
  async #remove(waiting: Waiting): Promise<void> {
    this.#delivered += 1;
    const refusedSince = this.#failures > 1 ? this.#failingSince : undefined;
    this.#failures = 0;
    this.#failingSince = undefined;
    // A push may be writing this very alert to disk; its file goes after it came.
    const removed = this.#disk.then(async () => {
      this.#queue.shift();
      await unlink(this.#file(waiting.seq)).catch(ignoreMissing);
    });
    this.#disk = removed.catch((thrown: unknown) => this.#diskRefused(thrown));
    await this.#disk;
    if (refusedSince !== undefined) {
      const seconds = Math.round((this.#now() - refusedSince) / 1000);
      this.#onTrouble(`${this.#name} takes alerts again after ${seconds} s, ${this.#queue.length} still wait`, true);
    }
    this.#tellDrained();
  }

  #tellDrained(): void {
    if (this.#queue.length > 0 || this.#refusedNow === 0) return;
    this.#onTrouble(
      `the outbox of ${this.#name} is empty again; ${this.#refusedNow} alerts were refused while it was full`,
      true,
    );
    this.#refusedNow = 0;
  }

  /** The payload of a file; one that cannot be used is put aside and told, never tried again. */
  async #read({ seq }: Waiting): Promise<string | undefined> {
    const file = this.#file(seq);
    let reason: string;
    try {
      return unwrap(await readSmallFile(file));
    } catch (thrown) {
      reason = reasonOf(thrown);
    }
    const aside = await rename(file, `${file}.bad`).then(
      () => `kept as ${file}.bad`,
      (thrown: unknown) => (errnoOf(thrown) === "ENOENT" ? "it is gone" : `cannot be put aside: ${reasonOf(thrown)}`),
    );
    this.#onTrouble(`an alert for ${this.#name} cannot be delivered: ${file} is unusable (${reason}); ${aside}`, false);
    return undefined;
  }

  #file(seq: number): string {
    return join(this.#directory, `${String(seq).padStart(SEQ_DIGITS, "0")}.json`);
  }

  /** Doubles from the shortest pause to the longest; the jitter keeps many nodes from coming back at once. */
  #backoffMs(): number {
    const ms = Math.min(this.#maxRetryMs, this.#minRetryMs * 2 ** Math.min(this.#failures - 1, 30));
    return Math.ceil(ms / 2) + randomInt(Math.ceil(ms / 2) + 1);
  }

  /** Until the time is over (without one: until something is pushed), or until stopped. */
  async #pause(ms?: number): Promise<void> {
    if (this.#stopping) return;
    this.#idle = ms === undefined;
    await new Promise<void>((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
    this.#idle = false;
  }
}

// The file a log is being written to: makes it, goes on with it, cuts off what was half written, and gives it its name
// when it is full. Notices what others do to it between two writes. Knows nothing of who waits for a record.

import { constants } from "node:fs";
import { lstat, open, rename, type FileHandle } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { reasonOf } from "../errors.ts";
import { rotatedPath } from "./audit-files.ts";
import { GENESIS } from "./audit-record.ts";
import { newFile, newLogId, setAside, type Found, type Head, type Tip } from "./audit-resume.ts";
import { errnoOf, syncDirectory } from "./durable.ts";

export interface TailOptions {
  readonly path: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** What was found at the path is not what was written, has been set aside as `file`, and a new log is begun. */
  readonly onBegunAnew: (reason: string, file: string) => void;
}

export class Tail {
  readonly #options: TailOptions;
  #handle: FileHandle | undefined;
  #log: string;
  #tip: Tip;
  #head: Head | undefined;
  /** The current file was there when the log was opened. */
  #there: boolean;
  /** Bytes may stand behind the tip's end. */
  #cutDue: boolean;
  /** A name was made or changed and the directory not yet synced. */
  #directoryDue: boolean;

  constructor(options: TailOptions, found: Found) {
    this.#options = options;
    this.#log = found.log;
    this.#tip = found.tip;
    this.#head = found.head;
    this.#there = found.there;
    this.#directoryDue = found.head !== undefined;
    this.#cutDue = found.tornBytes > 0;
  }

  /** The log's id. */
  get log(): string {
    return this.#log;
  }

  get tip(): Tip {
    return this.#tip;
  }

  /** The first line of the current file, as long as it is not written. */
  get head(): Head | undefined {
    return this.#head;
  }

  /** File and end of file as they must be before a write. */
  async prepare(): Promise<void> {
    if (this.#handle !== undefined) {
      const reason = await this.#tampered(this.#handle);
      if (reason !== undefined) await this.#beginAnew(reason);
    }
    this.#handle ??= this.#there ? await this.#reopen() : await this.#create();
    await this.cut();
  }

  /** Puts the bytes on disk; they count once moveTo() says so. */
  async write(bytes: Buffer): Promise<void> {
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

  /** What was written up to this tip is so. */
  moveTo(tip: Tip): void {
    this.#tip = tip;
    this.#head = undefined;
  }

  /** Removes what a write that failed may have left. */
  async cut(): Promise<void> {
    if (!this.#cutDue || this.#handle === undefined) return;
    await this.#handle.truncate(this.#tip.fileBytes);
    this.#cutDue = false;
  }

  /**
   * Gives the full file its name, or says why the disk does not let it; the next write makes the new one. After a crash
   * in between, open() does.
   */
  async rotate(): Promise<string | undefined> {
    const { path, now } = this.#options;
    const rotated = rotatedPath(path, this.#tip.fileFirstSeq);
    try {
      await setAside(rotated, now());
      await rename(path, rotated);
    } catch (thrown) {
      return reasonOf(thrown);
    }
    const full = this.#handle;
    this.#handle = undefined;
    this.#there = false;
    this.#directoryDue = true;
    this.#head = { type: "rotate", facts: { previous: basename(rotated) } };
    this.#tip = newFile(this.#tip.seq, this.#tip.prev);
    await full?.close();
    return undefined;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
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
    const { path, now, onBegunAnew } = this.#options;
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
    onBegunAnew(reason, file);
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
}

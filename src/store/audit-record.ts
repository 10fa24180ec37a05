// The audit log's format: how a line is made, chained, signed and checked. Pure: bytes in, bytes or a reason out.
//
// A log is a run of files; a file is a run of lines, each one JSON object and a newline:
//
//     {"v":1,"seq":7,"time":"2026-01-02T03:04:05.678Z","type":"verdict","body":{...},"prev":"sha256:<64 hex digits>"}
//
// `prev` is the SHA-256 of the exact bytes of the line before, without its newline, also across files; 64 zeros in the
// first line of a log. `seq` counts from 1 over all files. The first line of every file has, in its body, `log` (the
// log's random id, 32 hex digits) and `publicKey`, and is of type
//   start    a new log;
//   rotate   the log goes on from the file `previous`;
//   damaged  a new log in place of the file `file`, which did not verify.
// The last line of every file but the current one is a checkpoint.

import { createHash, sign, verify, type KeyObject } from "node:crypto";
import { publicKeyOf } from "./signing-key.ts";

/** A longer line is not of rimon's making. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** What stands for the line before the first. */
export const GENESIS = `sha256:${"0".repeat(64)}`;

export interface AuditRecord {
  readonly v: 1;
  readonly seq: number;
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
  readonly type: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly prev: string;
}

export type Fault =
  | "json" // not a record, or not in the one spelling the writer uses
  | "hash" // not chained to the line before
  | "sequence" // a record is missing, doubled or out of order
  | "signature" // a checkpoint that its key did not sign
  | "key" // a checkpoint or a file of another key
  | "missing" // a rotated file is not there
  | "unsigned" // a rotated file does not end with a checkpoint
  | "damaged" // the log itself says that an earlier file did not verify
  | "unreadable";

export interface Flaw {
  readonly kind: Fault;
  readonly reason: string;
  readonly seq?: number;
}

/** A "damaged" line: where the chain was begun anew, and why. */
export interface Damage {
  readonly file: string;
  readonly line: number;
  readonly lastGoodSeq: number;
  readonly reason: string;
  /** The first record of the new chain. */
  readonly seq: number;
}

const TYPE = /^[a-z][a-z-]{0,31}$/;
const HASH = /^sha256:[0-9a-f]{64}$/;
const LOG_ID = /^[0-9a-f]{32}$/;
const KEYS = ["v", "seq", "time", "type", "body", "prev"];
const CHECKPOINT_KEYS = ["records", "publicKey", "signature"];

export function isRecordType(type: string): boolean {
  return TYPE.test(type);
}

/** The hash by which the next line names this one. */
export function hashOf(line: Uint8Array): string {
  return `sha256:${createHash("sha256").update(line).digest("hex")}`;
}

/** One line, without its newline. `bodyText` is what JSON.stringify made of the body. */
export function formatLine(seq: number, time: string, type: string, bodyText: string, prev: string): Buffer {
  return Buffer.from(`{"v":1,"seq":${seq},"time":"${time}","type":"${type}","body":${bodyText},"prev":"${prev}"}`);
}

export interface CheckpointFacts {
  /** The log's id. */
  readonly log: string;
  readonly seq: number;
  readonly time: string;
  /** Records in this file before the checkpoint. */
  readonly records: number;
  readonly prev: string;
}

/**
 * The bytes a checkpoint's signature (Ed25519, RFC 8032, base64 with padding) is over: six fields in ASCII, joined by
 * single newlines, with none at the end:
 *
 *     rimon-audit-checkpoint-v1 \n <log id> \n <seq> \n <time> \n <records> \n <prev>
 *
 * seq and records in decimal, time and prev as they stand in the line ("sha256:" included). So it vouches for every
 * byte of every line before it and for its own.
 */
export function checkpointBytes({ log, seq, time, records, prev }: CheckpointFacts): Buffer {
  return Buffer.from(`rimon-audit-checkpoint-v1\n${log}\n${seq}\n${time}\n${records}\n${prev}`);
}

/** The body of a checkpoint, signed. */
export function checkpointBody(facts: CheckpointFacts, publicKey: string, privateKey: KeyObject): string {
  const signature = sign(null, checkpointBytes(facts), privateKey).toString("base64");
  return JSON.stringify({ records: facts.records, publicKey, signature });
}

/** Reads one line; a string says why it is not a record. */
export function parseLine(line: Buffer): AuditRecord | string {
  let value: unknown;
  let again: string;
  try {
    value = JSON.parse(line.toString("utf8"));
    again = JSON.stringify(value);
  } catch {
    return "it is not JSON";
  }
  if (!isObject(value) || Object.keys(value).join() !== KEYS.join()) {
    return `it must be an object of ${KEYS.join(", ")}, in this order`;
  }
  const { v, seq, time, type, body, prev } = value;
  if (v !== 1) return `its version must be 1, got ${JSON.stringify(v)?.slice(0, 40)}`;
  if (typeof seq !== "number" || !Number.isSafeInteger(seq) || seq < 1) return "seq must be a whole number from 1 up";
  if (typeof time !== "string" || !isTime(time)) return "time must be like 2026-01-02T03:04:05.678Z";
  if (typeof type !== "string" || !TYPE.test(type)) return "type must be a lower-case word";
  if (typeof prev !== "string" || !HASH.test(prev)) return 'prev must be "sha256:" and 64 hexadecimal digits';
  if (!isObject(body)) return "body must be an object";
  // One spelling for one record: no second meaning by spaces, escapes, doubled keys or bytes that are not UTF-8.
  if (!Buffer.from(again).equals(line)) return "it is not spelled as rimon spells it";
  return { v, seq, time, type, body, prev };
}

/** Checks lines one after the other, over as many files as the log has. */
export class Chain {
  /** Records accepted, in all files. */
  records = 0;
  /** Records accepted since beginFile(). */
  fileRecords = 0;
  firstSeq: number | undefined;
  seq = 0;
  prev = GENESIS;
  log = "";
  lastType = "";
  checkpoints = 0;
  signedThrough = 0;
  /** False if the first line seen goes on from a file that was not. */
  anchored = true;
  /** The first line of the file at hand. */
  head: AuditRecord | undefined;
  readonly damages: Damage[] = [];
  /** The key the log at hand names. */
  publicKey = "";

  readonly #trusted: readonly string[] | undefined;
  readonly #keys = new Map<string, KeyObject>();

  constructor(trusted?: readonly string[]) {
    this.#trusted = trusted;
  }

  beginFile(): void {
    this.fileRecords = 0;
    this.head = undefined;
  }

  /** Takes the next line, without its newline; says what is wrong with it, if anything. */
  accept(line: Buffer): Flaw | undefined {
    const record = parseLine(line);
    if (typeof record === "string") return { kind: "json", reason: record };
    const reason = this.fileRecords === 0 ? this.#begin(record) : (this.#follow(record) ?? this.#checkpoint(record));
    if (reason !== undefined) return { ...reason, seq: record.seq };
    if (this.fileRecords === 0) this.head = record;
    this.firstSeq ??= record.seq;
    this.seq = record.seq;
    this.prev = hashOf(line);
    this.lastType = record.type;
    this.records += 1;
    this.fileRecords += 1;
    return undefined;
  }

  #begin(record: AuditRecord): Flaw | undefined {
    const { log, publicKey } = record.body;
    if (typeof log !== "string" || !LOG_ID.test(log) || typeof publicKey !== "string" || !publicKeyOf(publicKey)) {
      return { kind: "json", reason: "the first line of a file must name the log and its public key" };
    }
    if (this.#trusted !== undefined && !this.#trusted.includes(publicKey)) {
      return { kind: "key", reason: `the file names the key ${publicKey}, not the one given` };
    }
    if (record.type === "rotate" && this.records > 0) {
      const flaw = this.#follow(record);
      if (flaw !== undefined) return flaw;
      if (log !== this.log)
        return { kind: "hash", reason: `the file belongs to log ${log}, the one before to ${this.log}` };
      if (this.#trusted === undefined && publicKey !== this.publicKey) {
        return { kind: "key", reason: `the file names the key ${publicKey}, the one before ${this.publicKey}` };
      }
    } else if (record.type === "rotate") {
      this.anchored = false;
    } else if (record.type === "damaged") {
      const { file, line, lastGoodSeq, reason } = record.body;
      if (typeof file !== "string" || typeof line !== "number" || typeof lastGoodSeq !== "number") {
        return { kind: "json", reason: "a damaged record must name file, line and lastGoodSeq" };
      }
      if (record.prev !== GENESIS)
        return { kind: "hash", reason: "the first line of a new log must have a prev of zeros" };
      if (record.seq <= this.seq)
        return { kind: "sequence", reason: `seq must be above ${this.seq}, got ${record.seq}` };
      this.damages.push({ file, line, lastGoodSeq, reason: String(reason), seq: record.seq });
    } else if (record.type === "start") {
      if (this.records > 0) return { kind: "hash", reason: "a new log begins where the one before should go on" };
      if (record.prev !== GENESIS)
        return { kind: "hash", reason: "the first line of a new log must have a prev of zeros" };
      if (record.seq !== 1)
        return { kind: "sequence", reason: `the first record of a new log must have seq 1, got ${record.seq}` };
    } else {
      return { kind: "sequence", reason: `a file must begin with start, rotate or damaged, got ${record.type}` };
    }
    this.log = log;
    this.publicKey = publicKey;
    return undefined;
  }

  #follow(record: AuditRecord): Flaw | undefined {
    if (record.seq !== this.seq + 1) {
      return {
        kind: "sequence",
        reason: `seq must be ${this.seq + 1}, got ${record.seq}: records were removed, added or moved`,
      };
    }
    if (record.prev === this.prev) return undefined;
    return { kind: "hash", reason: `prev must be ${this.prev}, got ${record.prev}: the line before was changed` };
  }

  #checkpoint(record: AuditRecord): Flaw | undefined {
    if (record.type !== "checkpoint") {
      if (Object.keys(record.body).join() !== CHECKPOINT_KEYS.join()) return undefined;
      return { kind: "json", reason: `a checkpoint's body under the type ${record.type}` };
    }
    const { records, publicKey, signature } = record.body;
    if (
      Object.keys(record.body).join() !== CHECKPOINT_KEYS.join() ||
      typeof records !== "number" ||
      typeof publicKey !== "string" ||
      typeof signature !== "string"
    ) {
      return { kind: "json", reason: `the body of a checkpoint must be ${CHECKPOINT_KEYS.join(", ")}` };
    }
    const trusted = this.#trusted ?? [this.publicKey];
    if (!trusted.includes(publicKey)) {
      return { kind: "key", reason: `the checkpoint is signed by ${publicKey}, not by ${trusted.join(" or ")}` };
    }
    if (records !== this.fileRecords) {
      return {
        kind: "sequence",
        reason: `the checkpoint counts ${records} records in this file, there are ${this.fileRecords}`,
      };
    }
    const bytes = Buffer.from(signature, "base64");
    const facts = { log: this.log, seq: record.seq, time: record.time, records, prev: record.prev };
    if (bytes.toString("base64") !== signature || !verify(null, checkpointBytes(facts), this.#key(publicKey), bytes)) {
      return { kind: "signature", reason: `the checkpoint was not signed by ${publicKey}` };
    }
    this.checkpoints += 1;
    this.signedThrough = record.seq;
    return undefined;
  }

  #key(name: string): KeyObject {
    const known = this.#keys.get(name) ?? publicKeyOf(name);
    if (known === undefined) throw new TypeError(`${name} was accepted as a key but is none`);
    this.#keys.set(name, known);
    return known;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTime(text: string): boolean {
  const at = Date.parse(text);
  return Number.isFinite(at) && new Date(at).toISOString() === text;
}

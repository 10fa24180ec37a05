// in-toto Statements v1 (in-toto/attestation, spec/v1/statement.md), and the header that the predicate of every baseline
// begins with. Fields that are not known are dropped, as the specification asks.

import { SealProblem, isObject, parseObject, quoted, type JsonObject } from "./seal-problem.ts";

export const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";

export interface Subject {
  readonly name: string;
  /** Of all algorithms only this one is read. */
  readonly digest: { readonly sha256: string };
}

export interface Statement {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly Subject[];
  readonly predicateType: string;
  readonly predicate: JsonObject;
}

/** Which baseline it is among those of its kind, until when it holds, and where it comes from. */
export interface BaselineHeader {
  /** From 1, greater in each that replaces another. */
  readonly counter: number;
  /** ISO 8601 in UTC, as is `expires`. */
  readonly createdAt: string;
  readonly expires?: string;
  readonly madeBy: { readonly rimon: string };
  readonly machine: {
    /** A SHA-256 in lower-case hex that stands for the machine and tells nothing about it. */
    readonly id: string;
    readonly node: string;
    readonly kernel: string;
    readonly architecture: string;
  };
}

const MAX_NAME_LENGTH = 4096; // PATH_MAX
const SHA256 = /^[0-9a-f]{64}$/;

/** The statement in these bytes, which should have been verified before. */
export function parseStatement(bytes: Uint8Array): Statement {
  const { _type, subject, predicateType, predicate } = parseObject(bytes, "not-a-statement", "an in-toto Statement");
  if (_type !== STATEMENT_TYPE) throw notAStatement(`_type must be "${STATEMENT_TYPE}"`, _type);
  if (!isName(predicateType) || !/^[a-z][a-z0-9+.-]*:\S+$/i.test(predicateType)) {
    throw notAStatement("predicateType must be a URI", predicateType);
  }
  if (!isObject(predicate)) throw notAStatement("predicate must be an object", predicate);
  return { _type, subject: parseSubjects(subject), predicateType, predicate };
}

function parseSubjects(subject: unknown): readonly Subject[] {
  if (!Array.isArray(subject)) throw notAStatement("subject must be an array", subject);
  if (subject.length === 0) throw notAStatement("subject must name at least one thing", subject);
  const names = new Set<string>();
  return subject.map((entry: unknown, index) => {
    const place = `subject[${index}]`;
    if (!isObject(entry)) throw notAStatement(`${place} must be an object`, entry);
    const { name, digest } = entry;
    if (!isName(name)) throw notAStatement(`${place}.name must be a text of 1 to ${MAX_NAME_LENGTH} characters`, name);
    if (names.has(name)) throw notAStatement(`${place}.name must be of one subject only`, name);
    names.add(name);
    if (!isObject(digest)) throw notAStatement(`${place}.digest must be an object`, digest);
    const { sha256 } = digest;
    if (!isSha256(sha256)) throw notAStatement(`${place}.digest.sha256 must be 64 lower-case hex digits`, sha256);
    return { name, digest: { sha256 } };
  });
}

/** The statement as the bytes that are signed. */
export function statementBytes(statement: Statement): Buffer {
  return Buffer.from(JSON.stringify(statement));
}

/** The header that the predicate of a baseline carries. */
export function parseHeader({ counter, createdAt, expires, madeBy, machine }: JsonObject): BaselineHeader {
  if (typeof counter !== "number" || !Number.isSafeInteger(counter) || counter < 1) {
    const came = typeof counter === "number" ? String(counter) : quoted(counter);
    throw new SealProblem("wrong-predicate", `counter of a baseline must be a whole number from 1, got ${came}`);
  }
  if (!isTime(createdAt)) throw notABaseline("createdAt must be a time in UTC such as 2026-01-02T03:04:05Z", createdAt);
  if (expires !== undefined && (!isTime(expires) || Date.parse(expires) <= Date.parse(createdAt))) {
    throw notABaseline("expires must be a time in UTC after createdAt where it is given", expires);
  }
  if (!isObject(madeBy)) throw notABaseline("madeBy must be an object", madeBy);
  if (!isObject(machine)) throw notABaseline("machine must be an object", machine);
  const { id } = machine;
  if (!isSha256(id)) throw notABaseline("machine.id must be 64 lower-case hex digits", id);
  return {
    counter,
    createdAt,
    ...(expires === undefined ? {} : { expires }),
    madeBy: { rimon: nameIn(madeBy, "madeBy", "rimon") },
    machine: {
      id,
      node: nameIn(machine, "machine", "node"),
      kernel: nameIn(machine, "machine", "kernel"),
      architecture: nameIn(machine, "machine", "architecture"),
    },
  };
}

function nameIn(object: JsonObject, place: string, field: string): string {
  const name = object[field];
  if (isName(name)) return name;
  throw notABaseline(`${place}.${field} must be a text of 1 to ${MAX_NAME_LENGTH} characters`, name);
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MAX_NAME_LENGTH;
}

function isSha256(value: unknown): value is string {
  return typeof value === "string" && SHA256.test(value);
}

function isTime(value: unknown): value is string {
  if (typeof value !== "string" || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(value)) return false;
  const ms = Date.parse(value);
  // The 30th of February would be read as a day in March.
  return Number.isFinite(ms) && new Date(ms).toISOString().startsWith(value.slice(0, "2026-01-02T03:04:05".length));
}

function notAStatement(expected: string, came: unknown): SealProblem {
  return new SealProblem("not-a-statement", `in an in-toto Statement ${expected}, got ${quoted(came)}`);
}

function notABaseline(expected: string, came: unknown): SealProblem {
  return new SealProblem("wrong-predicate", `in a baseline ${expected}, got ${quoted(came)}`);
}

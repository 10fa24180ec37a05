// Snapshots as a baseline: what `rimon snapshot take` writes, to be sealed, and what `check` reads.

import { createHash } from "node:crypto";
import { SealProblem, isObject, quoted, type JsonObject } from "./seal-problem.ts";
import type { Snapshot, View } from "./snapshot.ts";
import { STATEMENT_TYPE, type BaselineHeader, type Statement } from "./statement.ts";

export const ISOLATION_BASELINE = "urn:rimon:baseline:isolation:v1";

export interface IsolationEntry {
  /** "kernel", or a process by name and pid. */
  readonly name: string;
  readonly snapshot: Snapshot;
}

/** Each entry is a subject, by the digest of its snapshot as it stands in the predicate. */
export function isolationStatement(header: BaselineHeader, entries: readonly IsolationEntry[]): Statement {
  return {
    _type: STATEMENT_TYPE,
    subject: entries.map(({ name, snapshot }) => ({ name, digest: { sha256: digestOf(snapshot) } })),
    predicateType: ISOLATION_BASELINE,
    predicate: { ...header, snapshots: entries },
  };
}

/** The entries of a statement of this type; throws a SealProblem. */
export function isolationEntries({ predicateType, predicate, subject }: Statement): readonly IsolationEntry[] {
  if (predicateType !== ISOLATION_BASELINE)
    throw new SealProblem(
      "wrong-predicate",
      `expected a baseline of type "${ISOLATION_BASELINE}", got ${quoted(predicateType)}; rimon snapshot take makes one`,
    );
  const { snapshots } = predicate;
  if (!Array.isArray(snapshots) || snapshots.length === 0) throw wrong("snapshots must be an array that is not empty");
  return snapshots.map((entry: unknown, index) => {
    const place = `snapshots[${index}]`;
    if (!isObject(entry) || typeof entry["name"] !== "string") throw wrong(`${place} must have a name`);
    const name = entry["name"];
    const snapshot = snapshotIn(entry["snapshot"], `${place}.snapshot`);
    const named = subject.find((each) => each.name === name);
    if (named === undefined || named.digest.sha256 !== digestOf(snapshot))
      throw wrong(`${place} must be the subject of that name, by its digest`);
    return { name, snapshot };
  });
}

function snapshotIn(value: unknown, place: string): Snapshot {
  if (!isObject(value)) throw wrong(`${place} must be an object`);
  const { takenAt, boot, process, subsystems } = value;
  if (!Number.isSafeInteger(takenAt)) throw wrong(`${place}.takenAt must be milliseconds since the epoch`);
  if (boot !== undefined && typeof boot !== "string") throw wrong(`${place}.boot must be a text`);
  const { pid, startTime } = process === undefined ? { pid: 0, startTime: 0 } : isObject(process) ? process : {};
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(startTime))
    throw wrong(`${place}.process must have a pid and a startTime`);
  if (!isObject(subsystems)) throw wrong(`${place}.subsystems must be an object`);
  return {
    ...(boot === undefined ? {} : { boot }),
    ...(process === undefined ? {} : { process: { pid: Number(pid), startTime: Number(startTime) } }),
    takenAt: Number(takenAt),
    subsystems: Object.fromEntries(
      Object.entries(subsystems).map(([name, view]) => [name, viewIn(view, `${place}.subsystems.${name}`)]),
    ),
  };
}

function viewIn(value: unknown, place: string): View {
  if (!isObject(value)) throw wrong(`${place} must be an object`);
  const { sha256, facts, malformed, unread } = value;
  if (malformed !== undefined && typeof malformed !== "string") throw wrong(`${place}.malformed must be a text`);
  if (unread !== undefined && !(Array.isArray(unread) && unread.every((each) => typeof each === "string")))
    throw wrong(`${place}.unread must be an array of names`);
  return {
    sha256: textsIn(sha256, `${place}.sha256`),
    ...(facts === undefined ? {} : { facts: textsIn(facts, `${place}.facts`) }),
    ...(malformed === undefined ? {} : { malformed }),
    ...(unread === undefined ? {} : { unread }),
  };
}

function textsIn(value: unknown, place: string): Readonly<Record<string, string>> {
  if (!isObject(value)) throw wrong(`${place} must be an object`);
  for (const [name, text] of Object.entries(value))
    if (typeof text !== "string") throw wrong(`${place}: ${quoted(name)} must be a text`);
  return value as Readonly<Record<string, string>>;
}

/** Over the JSON as it is written: names in the order they were read in. */
function digestOf(snapshot: Snapshot | JsonObject): string {
  return createHash("sha256").update(JSON.stringify(snapshot)).digest("hex");
}

function wrong(expected: string): SealProblem {
  return new SealProblem("wrong-predicate", `in a baseline of isolation structures ${expected}`);
}

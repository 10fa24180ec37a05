// What was there at one moment, and how it differs from what is there now. Pure: texts come from a source, time from a
// clock.

import { createHash } from "node:crypto";
import { reasonOf } from "../errors.ts";
import type { Change, TextEvidence } from "../isolation-changed.ts";
import type { ProcessId } from "../observation.ts";
import { SUBSYSTEMS } from "./all.ts";
import { Malformed, type Facts, type Subsystem, type TextName, type Texts } from "./subsystem.ts";

export type TextBytes = Readonly<Partial<Record<TextName, Uint8Array>>>;

/** One subsystem as it was: its facts, or why it could not be looked at. */
export interface View {
  /** SHA-256 of each text as it was read, hexadecimal: evidence, since most change by themselves. */
  readonly sha256: Readonly<Record<string, string>>;
  readonly facts?: Facts;
  /** Its texts are there and are not what the kernel writes. */
  readonly malformed?: string;
  /** The texts that could not be read. */
  readonly unread?: readonly string[];
}

/** Of which life of what a snapshot is: what the kernel never does to a process it may do to the next one. */
export interface Identity {
  /** /proc/sys/kernel/random/boot_id. */
  readonly boot?: string;
  readonly process?: ProcessId;
}

export interface Snapshot extends Identity {
  /** Milliseconds since the epoch. */
  readonly takenAt: number;
  readonly subsystems: Readonly<Record<string, View>>;
}

export interface Anomaly {
  readonly subsystem: string;
  /** "gone": it could be looked at, and cannot be now. */
  readonly kind: "changed" | "malformed" | "gone";
  readonly changes: readonly Change[];
  /** In one sentence, for whoever is woken by it. */
  readonly message: string;
  /** Of the texts whose bytes differ: what was there and what is. */
  readonly evidence: readonly TextEvidence[];
}

export type Checked =
  | { readonly ok: true; readonly checkedAt: number; readonly snapshot: Snapshot }
  | {
      readonly ok: false;
      readonly checkedAt: number;
      readonly snapshot: Snapshot;
      readonly anomalies: readonly Anomaly[];
    };

/** Facts of one subsystem that are remembered though they are no longer so: a process may load ever new files. */
const MAX_KEPT = 4_096;

/** The subsystems that a name each stands for; undefined if there is none of that name. */
export function subsystemNamed(name: string): Subsystem | undefined {
  return SUBSYSTEMS.find((each) => each.name === name);
}

/** Of the bytes of each text, as they were read. */
export function viewOf(subsystem: Subsystem, bytes: TextBytes): View {
  const { texts: needed, optional = [] } = subsystem;
  const there = [...needed, ...optional].flatMap((name) => {
    const text = bytes[name];
    return text === undefined ? [] : [[name, text] as const];
  });
  const sha256 = Object.fromEntries(
    there.map(([name, text]) => [name, createHash("sha256").update(text).digest("hex")]),
  );
  const unread = needed.filter((name) => bytes[name] === undefined);
  if (unread.length > 0) return { sha256, unread };
  const texts: Texts = Object.fromEntries(there.map(([name, text]) => [name, Buffer.from(text).toString("utf8")]));
  try {
    return { sha256, facts: subsystem.facts(texts) };
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return { sha256, malformed: reasonOf(thrown) };
  }
}

/** What differs, subsystem by subsystem; those that the baseline has not looked at are left out. */
export function compare(baseline: Snapshot, now: Snapshot): readonly Anomaly[] {
  return Object.entries(baseline.subsystems).flatMap(([name, before]) => {
    const subsystem = subsystemNamed(name);
    const after = now.subsystems[name];
    if (subsystem === undefined || after === undefined || before.facts === undefined) return [];
    const same = subsystem.of === "kernel" ? sameBoot(baseline, now) : sameLife(baseline, now);
    return compareViews(subsystem, { ...before, facts: before.facts }, after, same) ?? [];
  });
}

/**
 * What a later one is compared with: what is there now, and of what cannot be read or makes no sense what was there
 * before. What changed and was not for telling stays as it was, so that it is no news when it changes back.
 */
export function carriedOn(before: Snapshot, now: Snapshot): Snapshot {
  const subsystems = Object.entries(now.subsystems).map(([name, view]) => {
    return [name, carriedView(name, before.subsystems[name], view)] as const;
  });
  return { ...now, subsystems: { ...before.subsystems, ...Object.fromEntries(subsystems) } };
}

function carriedView(name: string, before: View | undefined, now: View): View {
  if (before?.facts === undefined) return now;
  if (now.facts === undefined) return before;
  const [was, is] = [before.facts, now.facts];
  const tells = subsystemNamed(name)?.tells?.(was, is);
  if (tells === undefined) return now;
  const kept = differencesOf(was, is).filter((change) => change.expected !== undefined && !tells(change));
  if (kept.length === 0) return now;
  const facts = Object.fromEntries(kept.slice(-MAX_KEPT).map(({ fact, expected = "" }) => [fact, expected]));
  return { ...now, facts: { ...is, ...facts } };
}

function sameBoot(a: Identity, b: Identity): boolean {
  return a.boot === b.boot;
}

function sameLife(a: Identity, b: Identity): boolean {
  return sameBoot(a, b) && a.process?.pid === b.process?.pid && a.process?.startTime === b.process?.startTime;
}

function compareViews(
  subsystem: Subsystem,
  before: View & { readonly facts: Facts },
  after: View,
  same: boolean,
): Anomaly | undefined {
  const { name, tells, rule, verdict, contradictions } = subsystem;
  const evidence = evidenceOf(before, after);
  if (after.malformed !== undefined)
    return { subsystem: name, kind: "malformed", changes: [], message: `${name}: ${after.malformed}`, evidence };
  if (after.facts === undefined) {
    const message = `${name} cannot be looked at any more: no ${(after.unread ?? []).join(", ")}`;
    return { subsystem: name, kind: "gone", changes: [], message, evidence };
  }
  const now = after.facts;
  const differences = differencesOf(before.facts, now).filter(tells?.(before.facts, now) ?? (() => true));
  const changes = differences.map((change) => {
    const impossible = same ? rule?.(change, before.facts, now) : undefined;
    const says = verdict?.(change, before.facts, now);
    return {
      ...change,
      ...(impossible === undefined ? {} : { impossible }),
      ...(says === undefined ? {} : { verdict: says }),
    };
  });
  // What the baseline had already is no news.
  const known = new Set((contradictions?.(before.facts) ?? []).map(({ fact }) => fact));
  const broken = (contradictions?.(now) ?? []).flatMap((change) => {
    const expected = before.facts[change.fact];
    return known.has(change.fact) ? [] : [{ ...change, ...(expected === undefined ? {} : { expected }) }];
  });
  const all = [...changes.filter(({ fact }) => !broken.some((each) => each.fact === fact)), ...broken];
  if (all.length === 0) return undefined;
  return { subsystem: name, kind: "changed", changes: all, message: `${name}: ${told(all)}`, evidence };
}

function differencesOf(before: Facts, now: Facts): readonly Change[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].toSorted().flatMap((fact) => {
    const [expected, actual] = [before[fact], now[fact]];
    if (expected === actual) return [];
    return { fact, ...(expected === undefined ? {} : { expected }), ...(actual === undefined ? {} : { actual }) };
  });
}

function evidenceOf(before: View, after: View): readonly TextEvidence[] {
  return [...new Set([...Object.keys(before.sha256), ...Object.keys(after.sha256)])].flatMap((text) => {
    const [expected, actual] = [before.sha256[text], after.sha256[text]];
    if (expected === actual) return [];
    return { text, ...(expected === undefined ? {} : { expected }), ...(actual === undefined ? {} : { actual }) };
  });
}

const SHOWN = 3;

function told(changes: readonly Change[]): string {
  const shown = changes.slice(0, SHOWN).map(sayChange);
  return `${shown.join("; ")}${changes.length > SHOWN ? `; and ${changes.length - SHOWN} more` : ""}`;
}

/** "Seccomp was 2, is 0, which cannot be: seccomp filters are never taken off". */
export function sayChange({ fact, expected, actual, impossible, verdict }: Change): string {
  const was =
    expected === undefined
      ? `${fact} is ${shorten(actual ?? "")}, which is new`
      : actual === undefined
        ? `${fact} is gone (was ${shorten(expected)})`
        : `${fact} was ${shorten(expected)}, is ${shorten(actual)}`;
  const how = verdict === undefined ? was : `${was}: ${verdict}`;
  return impossible === undefined ? how : `${how}, which cannot be: ${impossible}`;
}

function shorten(value: string): string {
  return value.length > 120 ? `${value.slice(0, 117)}...` : value === "" ? "empty" : value;
}

/** The texts that some subsystems are made of. */
export function textsFor(subsystems: readonly Subsystem[]): readonly TextName[] {
  return [...new Set(subsystems.flatMap(({ texts, optional = [] }) => [...texts, ...optional]))];
}

// What an alert says, and to whom. A tenant's alert names that tenant and no other; the cluster admin's names tenants by
// id only. Pure: no sink, no clock.

import type { Actor, Audience, PlannedAction, Severity, Verdict } from "../finding.ts";
import { printable } from "./printable.ts";

export interface AlertProcess {
  readonly pid: number;
  readonly startTime?: number;
  readonly comm: string;
  readonly exe?: string;
  readonly uid?: number;
  /** Of the suspect, for the cluster admin only. */
  readonly cmdline?: readonly string[];
  /** Parents, nearest first; of the suspect, for the cluster admin only. */
  readonly ancestry?: readonly { readonly pid: number; readonly comm: string }[];
}

/** The record that every sink is given as JSON. */
export interface Alert {
  readonly type: "alert";
  readonly version: 1;
  /** The finding's. */
  readonly id: string;
  readonly time: string;
  readonly node: string;
  readonly audience: Audience;
  /** One sentence that stands alone. */
  readonly summary: string;
  readonly rule: string;
  readonly severity: Severity;
  readonly technique: string;
  readonly operation: string;
  readonly suspect?: AlertProcess;
  readonly target?: AlertProcess;
  readonly tenants: readonly string[];
  readonly count: number;
  /** The first finding of the group, if this alert reports repeats. */
  readonly repeats?: string;
  /** What policy planned; what came of it is in the audit log. */
  readonly actions: readonly PlannedAction[];
}

/** The alert as this audience may see it; `knownTenants` are ids to hide besides those the finding names. */
export function viewFor(audience: Audience, verdict: Verdict, knownTenants: readonly string[] = []): Alert {
  const { finding } = verdict;
  const isCluster = audience.kind === "cluster";
  const others = isCluster ? [] : [...finding.tenants, ...knownTenants].filter((id) => id !== audience.tenant);
  const shown = (text: string): string => (isCluster ? text : hideTenants(text, audience.tenant, others));
  const repeats = finding.count > 1 ? ` (seen ${finding.count} times)` : "";
  const sentence = `${finding.severity} on ${finding.node}: ${finding.message}${repeats}`;
  return {
    type: "alert",
    version: 1,
    id: finding.id,
    time: finding.time,
    node: shown(finding.node),
    audience,
    // Hidden after it was made printable: what is taken out in between could join two halves of an id.
    summary: shown(printable(sentence, 1000)),
    rule: finding.rule,
    severity: finding.severity,
    technique: finding.technique,
    operation: finding.operation,
    ...(finding.suspect === undefined ? {} : { suspect: suspectFor(isCluster, finding.suspect, shown) }),
    ...(finding.target === undefined ? {} : { target: processOf(finding.target, shown) }),
    tenants: isCluster ? [...finding.tenants] : [audience.tenant],
    count: finding.count,
    ...(finding.repeats === undefined ? {} : { repeats: finding.repeats }),
    // A reason may quote what the configuration says of somebody else's process.
    actions: verdict.actions.map((planned) =>
      isCluster ? { ...planned } : { action: planned.action, allowed: planned.allowed },
    ),
  };
}

/** The alert as one line of JSON that a terminal cannot be steered with. */
export function alertLine(alert: Alert): string {
  return JSON.stringify(alert).replace(
    /[\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The alert out of a payload, for a sink that speaks another format; fields an older rimon did not write are absent. */
export function readAlert(payload: string): Partial<Alert> {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    value = undefined;
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Partial<Alert>;
  throw new Error(`expected an alert as a JSON object, got ${payload.length} characters that are none`);
}

function suspectFor(isCluster: boolean, suspect: Actor, shown: (text: string) => string): AlertProcess {
  const known = processOf(suspect, shown);
  if (!isCluster) return known;
  return {
    ...known,
    ...(suspect.cmdline === undefined ? {} : { cmdline: [...suspect.cmdline] }),
    ...(suspect.ancestry === undefined
      ? {}
      : { ancestry: suspect.ancestry.map((parent) => ({ pid: parent.pid, comm: parent.comm })) }),
  };
}

function processOf(actor: Actor, shown: (text: string) => string): AlertProcess {
  return {
    pid: actor.pid,
    startTime: actor.startTime,
    comm: shown(actor.comm),
    ...(actor.exe === undefined ? {} : { exe: shown(actor.exe) }),
    ...(actor.uid === undefined ? {} : { uid: actor.uid }),
  };
}

const HIDDEN = "***";

/** Takes the ids of other tenants out of a text, except where they are part of the own id. */
export function hideTenants(text: string, own: string, others: readonly string[]): string {
  const ids = [...new Set(others)].filter((id) => id !== own && id !== "");
  let shown = text;
  // What is cut out may have been the rest of an own id that covered another one, so again until nothing is found.
  for (;;) {
    const kept = rangesOf(shown, own, "g");
    const hidden = ids
      .flatMap((id) => rangesOf(shown, id, "gi"))
      .filter((range) => !kept.some((owned) => owned.start <= range.start && range.end <= owned.end))
      .toSorted((a, b) => a.start - b.start);
    if (hidden.length === 0) return shown;
    shown = cutOut(shown, hidden);
  }
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** All places of `id`, overlapping ones too. An id of one or two characters counts only as a word of its own. */
function rangesOf(text: string, id: string, flags: string): Range[] {
  if (id === "") return [];
  const literal = id.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
  const pattern = new RegExp(id.length > 2 ? literal : `(?<![A-Za-z0-9])${literal}(?![A-Za-z0-9])`, flags);
  const ranges: Range[] = [];
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    ranges.push({ start: match.index, end: match.index + match[0].length });
    pattern.lastIndex = match.index + 1;
  }
  return ranges;
}

function cutOut(text: string, ranges: readonly Range[]): string {
  let result = "";
  let end = 0;
  for (const range of ranges) {
    if (range.start >= end) result += text.slice(end, range.start) + HIDDEN;
    end = Math.max(end, range.end);
  }
  return result + text.slice(end);
}

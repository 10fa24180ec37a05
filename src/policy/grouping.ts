// Repeats of one finding are counted instead of told; a graver one is no repeat, nor is one that nothing excuses any
// more. It has state but no clock: the caller says what time it is.

import { SEVERITIES, type Finding, type Severity } from "../finding.ts";

export interface RepeatSummary {
  readonly key: string;
  /** The id of the group's first finding. */
  readonly first: string;
  /** Repeats since the group was last told of. */
  readonly count: number;
  /** Findings since the first, that one included. */
  readonly total: number;
}

export interface Groups {
  /** Whether this finding opens a group, or repeats the one that `of` opened, which is no milder. */
  admit(key: string, gravity: Gravity, at: number, id: string): Admitted;
  /** The repeats that are due to be told; forgets the groups that have gone quiet. */
  tick(at: number): RepeatSummary[];
  /** The repeats that were not told yet, due or not; forgets every group. */
  end(): RepeatSummary[];
  readonly size: number;
  /** Groups dropped because there were too many, and the repeats in them that were never told. */
  readonly evicted: { readonly groups: number; readonly repeats: number };
}

export type Admitted = { readonly first: true } | { readonly first: false; readonly of: string };

interface Group {
  readonly key: string;
  readonly first: string;
  total: number;
  untold: number;
  toldAt: number;
  lastAt: number;
}

/** What an exception excuses is milder than anything: nothing was done about it. */
export const GRAVITIES = ["excused", ...SEVERITIES] as const;
export type Gravity = "excused" | Severity;

export const MAX_GROUPS = 10_000;
const GRAVEST_FIRST = GRAVITIES.toReversed();

/** Two findings with the same key are one event that goes on, unless the later one is graver than all before it. */
export function groupKey(finding: Finding): string {
  const { rule, suspect, target, operation, subject } = finding;
  return JSON.stringify([
    rule,
    suspect && [suspect.pid, suspect.startTime],
    target && [target.pid, target.startTime],
    operation,
    subject,
  ]);
}

/** Counts repeats within `groupMs` of one another, of at most `maxGroups` groups: the longest quiet one goes first. */
export function createGroups(groupMs: number, maxGroups: number = MAX_GROUPS): Groups {
  // By gravity and key: a graver finding has a group of its own, and what the milder one counted is told as its own.
  // In order of the last finding, so that the first entry is the longest quiet one.
  const groups = new Map<string, Group>();
  const evicted = { groups: 0, repeats: 0 };

  function evictOldest(): void {
    for (const [name, group] of groups) {
      groups.delete(name);
      evicted.groups += 1;
      evicted.repeats += group.untold;
      return;
    }
  }

  /** Takes it out, to be put back at the end; undefined if there is none, or it went quiet. */
  function take(name: string, at: number): Group | undefined {
    const group = groups.get(name);
    if (group === undefined) return undefined;
    groups.delete(name);
    // Repeats that were not told yet keep a quiet group until the next tick.
    return group.untold === 0 && at - group.lastAt >= groupMs ? undefined : group;
  }

  return {
    admit(key, gravity, at, id) {
      for (const each of GRAVEST_FIRST) {
        const name = nameOf(each, key);
        const group = take(name, at);
        if (group !== undefined) {
          group.total += 1;
          group.untold += 1;
          group.lastAt = at;
          groups.set(name, group);
          return { first: false, of: group.first };
        }
        if (each === gravity) break;
      }
      if (groups.size >= maxGroups) evictOldest();
      groups.set(nameOf(gravity, key), { key, first: id, total: 1, untold: 0, toldAt: at, lastAt: at });
      return { first: true };
    },

    tick(at) {
      const due: RepeatSummary[] = [];
      for (const [name, group] of groups) {
        // The wall clock was set back: the group starts waiting anew, or it would wait for the difference.
        group.toldAt = Math.min(group.toldAt, at);
        group.lastAt = Math.min(group.lastAt, at);
        if (group.untold > 0 && at - group.toldAt >= groupMs) {
          due.push(summaryOf(group));
          group.untold = 0;
          group.toldAt = at;
        }
        if (group.untold === 0 && at - group.lastAt >= groupMs) groups.delete(name);
      }
      return due;
    },

    end() {
      const left = [...groups.values()].filter(({ untold }) => untold > 0).map(summaryOf);
      groups.clear();
      return left;
    },

    get size() {
      return groups.size;
    },
    get evicted() {
      return { ...evicted };
    },
  };
}

function nameOf(gravity: Gravity, key: string): string {
  return `${gravity} ${key}`;
}

function summaryOf({ key, first, untold, total }: Group): RepeatSummary {
  return { key, first, count: untold, total };
}

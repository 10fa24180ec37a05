// Repeats of one finding are counted instead of told. It has state but no clock: the caller says what time it is.

import type { Finding } from "../finding.ts";

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
  /** Whether this finding opens a group, or repeats the one that `of` opened. */
  admit(key: string, at: number, id: string): { readonly first: true } | { readonly first: false; readonly of: string };
  /** The repeats that are due to be told; forgets the groups that have gone quiet. */
  tick(at: number): RepeatSummary[];
  readonly size: number;
  /** Groups dropped because there were too many, and the repeats in them that were never told. */
  readonly evicted: { readonly groups: number; readonly repeats: number };
}

interface Group {
  readonly first: string;
  total: number;
  untold: number;
  toldAt: number;
  lastAt: number;
}

export const MAX_GROUPS = 10_000;

/** Two findings with the same key are one event that goes on. */
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
  // In order of the last finding, so that the first entry is the longest quiet one.
  const groups = new Map<string, Group>();
  const evicted = { groups: 0, repeats: 0 };

  function evictOldest(): void {
    for (const [key, group] of groups) {
      groups.delete(key);
      evicted.groups += 1;
      evicted.repeats += group.untold;
      return;
    }
  }

  return {
    admit(key, at, id) {
      const group = groups.get(key);
      groups.delete(key);
      // Repeats that were not told yet keep a quiet group until the next tick.
      if (group === undefined || (group.untold === 0 && at - group.lastAt >= groupMs)) {
        if (groups.size >= maxGroups) evictOldest();
        groups.set(key, { first: id, total: 1, untold: 0, toldAt: at, lastAt: at });
        return { first: true };
      }
      group.total += 1;
      group.untold += 1;
      group.lastAt = at;
      groups.set(key, group);
      return { first: false, of: group.first };
    },

    tick(at) {
      const due: RepeatSummary[] = [];
      for (const [key, group] of groups) {
        // The wall clock was set back: the group starts waiting anew, or it would wait for the difference.
        group.toldAt = Math.min(group.toldAt, at);
        group.lastAt = Math.min(group.lastAt, at);
        if (group.untold > 0 && at - group.toldAt >= groupMs) {
          due.push({ key, first: group.first, count: group.untold, total: group.total });
          group.untold = 0;
          group.toldAt = at;
        }
        if (group.untold === 0 && at - group.lastAt >= groupMs) groups.delete(key);
      }
      return due;
    },

    get size() {
      return groups.size;
    },
    get evicted() {
      return { ...evicted };
    },
  };
}

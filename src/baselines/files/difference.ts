// A file that is not what the baseline says: which change it is, in what, and in words.

import type { AttributeChange, FileDifference } from "../../file-changed.ts";
import { attributeOf, compareEntry, isText, textOf } from "./compare.ts";
import type { FileEntry } from "./entry.ts";
import { groupsOf, type FileRule, type GroupName } from "./rules.ts";

/** Names of errno, of those that files have. */
const ERRNO: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  5: "EIO",
  6: "ENXIO",
  12: "ENOMEM",
  13: "EACCES",
  20: "ENOTDIR",
  23: "ENFILE",
  24: "EMFILE",
  34: "ERANGE",
  36: "ENAMETOOLONG",
  40: "ELOOP",
  74: "EBADMSG",
  116: "ESTALE",
  126: "ENOKEY",
};

export function errnoName(error: number): string {
  return ERRNO[error] ?? `errno ${error}`;
}

/** Whether the two readings of one path differ in what is compared; undefined: they do not. One of them is there. */
export function differenceOf(
  before: FileEntry | undefined,
  after: FileEntry | undefined,
  rules: readonly FileRule[],
): FileDifference | undefined {
  const entry = after ?? before;
  if (entry === undefined) return undefined;
  const rule = rules[(before ?? entry).rule];
  const group = groupOf(rule);
  const type = entry.stat?.type;
  const mode = after === undefined ? undefined : attributeOf(after, "mode");
  const head = {
    path: textOf(entry.path),
    ...(isText(entry.path) ? {} : { pathHex: entry.path.toString("hex") }),
    ...(type === undefined ? {} : { fileType: type }),
    ...(mode === undefined ? {} : { mode }),
    group,
    ...(rule === undefined ? {} : { rule: rule.path }),
    ...(after?.sha256 === undefined || after.cut ? {} : { sha256: after.sha256 }),
  };
  if (after === undefined) return { change: "removed", ...head, attributes: [] };
  if (after.error !== 0 && after.error !== before?.error)
    return { change: "unreadable", ...head, attributes: [], reason: errnoName(after.error) };
  if (before === undefined) return { change: "added", ...head, attributes: [] };
  const attributes = compareEntry(before, after, group);
  if (after.unstable && group !== "growing" && groupsOf(group, type).includes("content")) {
    const known = attributes.filter(({ attribute }) => attribute !== "content");
    return { change: "unstable", ...head, attributes: known, reason: "it was being written each time it was read" };
  }
  return attributes.length === 0 ? undefined : { change: "changed", ...head, attributes };
}

function groupOf(rule: FileRule | undefined): GroupName {
  return rule === undefined || rule.group === "ignore" ? "everything" : rule.group;
}

/** The same of a file that had another path, by what it was looked at as then. */
export function movedFrom(was: FileEntry, is: FileEntry, rules: readonly FileRule[]): FileDifference | undefined {
  const found = differenceOf(undefined, is, rules);
  if (found === undefined) return undefined;
  const attributes = compareEntry(was, is, groupOf(rules[was.rule]));
  return {
    ...found,
    change: "moved",
    from: textOf(was.path),
    attributes: attributes.filter(({ attribute }) => attribute !== "ctime"),
  };
}

/** What a file keeps when it is given another name. */
export function identityOf({ stat, sha256, target }: FileEntry): string | undefined {
  if (stat === undefined || stat.type === "folder") return undefined;
  return `${stat.dev}:${stat.inode}:${stat.type}:${sha256 ?? target?.toString("hex") ?? ""}`;
}

/** "/usr/bin/ls changed: mode was 0755, is 4755". */
export function sayDifference({ change, path, from, attributes, reason }: FileDifference): string {
  const what = attributes.map(sayAttribute).join("; ");
  switch (change) {
    case "moved":
      return `${path} was ${from}${what === "" ? "" : `; ${what}`}`;
    case "changed":
      return `${path} changed: ${what}`;
    case "unreadable":
    case "unstable":
      return `${path} is ${change}: ${[reason, what].filter(Boolean).join("; ")}`;
    default:
      return `${path} was ${change}`;
  }
}

/** "mode was 0755, is 4755". */
export function sayAttribute({ attribute, before, after }: AttributeChange): string {
  if (attribute === "content" && before !== undefined && after !== undefined)
    return `content was sha256 ${before.slice(0, 16)}, is ${after.slice(0, 16)}`;
  if (before === undefined) return `${attribute} is ${after}, there was none`;
  return after === undefined ? `${attribute} was ${before}, there is none` : `${attribute} was ${before}, is ${after}`;
}

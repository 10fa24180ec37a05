// Whether something that was done to a path is to be told, by the rules for files.

import { lstatSync } from "node:fs";
import type { FileType } from "../baselines/files/entry.ts";
import { findCut, findRule, type FileRule } from "../baselines/files/rules.ts";

/** Names are remembered as watched or not. */
const MAX_REMEMBERED = 8_192;
const TYPES = ["file", "link", "fifo"] as const;

/** `where` is the path under which it can be looked at, if rules name it by another. */
export type WantedFiles = (path: Buffer, folder: boolean, where?: Buffer) => boolean;

export function createWantedFiles(rules: readonly FileRule[]): WantedFiles {
  const known = new Map<string, boolean>();
  return (path, folder, where = path) => {
    const key = `${folder ? "d" : "f"}${path.toString("latin1")}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const isOf = (type: FileType): boolean => {
      const rule = findRule(rules, path, type);
      return rule === undefined || rules[rule]?.group !== "ignore";
    };
    const types = new Set((folder ? (["folder"] as const) : TYPES).map(isOf));
    // The event does not say which of them it is.
    if (types.size > 1) return findCut(rules, path) === undefined && isOf(typeOf(where));
    const is = types.has(true) && findCut(rules, path) === undefined;
    if (known.size >= MAX_REMEMBERED) known.clear();
    known.set(key, is);
    return is;
  };
}

function typeOf(path: Buffer): FileType {
  try {
    const found = lstatSync(path);
    return found.isFile() ? "file" : found.isSymbolicLink() ? "link" : "fifo";
  } catch {
    // What is gone was a file, as most are.
    return "file";
  }
}

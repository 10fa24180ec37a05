// Folders with files for the tests, and what a check says of them.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { FileRule } from "../../src/baselines/files/rules.ts";
import type { FileDifference } from "../../src/file-changed.ts";
import { openFileBaseline, type FileBaseline } from "../../src/files/baseline-file.ts";
import { checkFiles, initFiles, type CheckOptions } from "../../src/files/check.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

export const EVERYTHING: readonly FileRule[] = [{ path: "/", group: "everything" }];
export const IMMUTABLE: readonly FileRule[] = [{ path: "/", group: "immutable" }];

/** A folder of its own, and where its baseline is to be. */
export function tree(): { readonly root: string; readonly file: string; readonly at: (name: string) => string } {
  const folder = temporaryDirectory("files");
  const root = join(folder, "root");
  return { root, file: join(folder, "baseline.json"), at: (name) => join(root, name) };
}

/**
 * A file that was written within two seconds of its reading is read at every check, so that a test of what is not read
 * waits for that.
 */
export const settle = (): Promise<void> => sleep(2_100);

export async function take(
  file: string,
  roots: readonly string[],
  rules: readonly FileRule[] = IMMUTABLE,
): Promise<FileBaseline> {
  await initFiles({ file, roots, rules });
  return openFileBaseline(file);
}

export async function differences(baseline: FileBaseline, options: CheckOptions = {}): Promise<FileDifference[]> {
  const found: FileDifference[] = [];
  await checkFiles(baseline, { ...options, onDifference: (each) => void found.push(each) });
  return found;
}

/** "changed /path mode,owner", the root left out of the path. */
export function shown(root: string, found: readonly FileDifference[]): string[] {
  const short = (path: string): string => (path === root ? "/" : path.slice(root.length));
  return found.map(({ change, path, from, attributes }) =>
    [
      change,
      short(path),
      ...(from === undefined ? [] : [`from ${short(from)}`]),
      attributes.map((each) => each.attribute).join(),
    ]
      .filter((word) => word !== "")
      .join(" "),
  );
}

/** Flips a byte, the times and the size left as they are. */
export function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  writeFileSync(path, bytes);
}

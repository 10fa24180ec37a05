// The directories of outboxes: their names, and what waits in those that nobody opened.

import { createHash } from "node:crypto";
import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, ignoreMissing } from "./durable.ts";

/** The directory of an outbox: readable, and never the same for two names. */
export function outboxDirectory(directory: string, name: string): string {
  const readable = name.replace(/[^A-Za-z0-9_-]+/g, "_").slice(0, 48);
  return join(directory, `${readable}-${createHash("sha256").update(name).digest("hex").slice(0, 12)}`);
}

/** The number of an alert's file, and what was done with it if it does not wait any more; undefined if it is none. */
export function alertFile(file: string): { readonly seq: number; readonly aside?: "bad" | "refused" } | undefined {
  const [, digits, aside] = /^(\d{12,15})\.json(?:\.(bad|refused))?$/.exec(file) ?? [];
  if (digits === undefined) return undefined;
  return { seq: Number(digits), ...(aside === undefined ? {} : { aside: aside as "bad" | "refused" }) };
}

/** Gives the directory of an earlier name its new one, unless there is something under that already. */
export async function renameDirectory(before: string, now: string): Promise<void> {
  await rename(before, now).catch((thrown: unknown) => {
    if (errnoOf(thrown) !== "ENOTEMPTY" && errnoOf(thrown) !== "EEXIST") ignoreMissing(thrown);
  });
}

/** A sentence about each directory that alerts wait in and that is none of these. */
export async function abandonedIn(directory: string, opened: ReadonlySet<string>): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((thrown: unknown) => {
    ignoreMissing(thrown);
    return [];
  });
  const sentences: string[] = [];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (!entry.isDirectory() || opened.has(path)) continue;
    const alerts = (await readdir(path)).map(alertFile);
    const waiting = alerts.filter((alert) => alert !== undefined && alert.aside === undefined).length;
    if (waiting === 0) continue;
    sentences.push(
      `${waiting} ${waiting === 1 ? "alert waits" : "alerts wait"} in ${path} for a sink that is no longer configured: ` +
        "configured again, it gets them; if it will not be, remove that folder",
    );
  }
  return sentences;
}

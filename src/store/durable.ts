// What makes a file or a name survive a power cut. Everything here has reached the disk when it returns.

import { constants } from "node:fs";
import { mkdir, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";

/** Makes the names in a directory (created, renamed, removed) durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a directory and its missing parents, readable by nobody else; leaves one that is there as it is. */
export async function makePrivateDirectory(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = directory; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

/** Writes a new file under `temporary` and syncs it; a failed one is removed. The caller gives it its real name. */
export async function writeNewFile(temporary: string, content: string, mode: number): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const handle = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } catch (thrown) {
    await handle.close();
    await unlink(temporary);
    throw thrown;
  }
  await handle.close();
}

/** Puts a file in place whole or not at all, over what was there. */
export async function replaceFile(path: string, content: string, mode: number): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await unlink(temporary).catch(ignoreMissing);
  await writeNewFile(temporary, content, mode);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** The errno name of what a system call threw. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown)) return undefined;
  return typeof thrown.code === "string" ? thrown.code : undefined;
}

/** For catch(): a file that is already gone is what was wanted. */
export function ignoreMissing(thrown: unknown): void {
  if (errnoOf(thrown) !== "ENOENT") throw thrown;
}

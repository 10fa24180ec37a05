// One alert on disk, as its file holds it.

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";

const MAX_FILE_BYTES = 64 * 1024 * 1024;

/** A file says what it holds, so that half a payload is never taken for a whole one. */
export function wrap(payload: string, at: number): string {
  return JSON.stringify({ v: 1, time: new Date(at).toISOString(), sha256: digest(payload), payload });
}

/** The payload of such a file; throws a sentence if it is not whole. */
export function unwrap(text: string): string {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || !("payload" in value) || !("sha256" in value)) {
    throw new Error("it must be an object with payload and sha256");
  }
  const { payload, sha256 } = value;
  if (typeof payload !== "string" || sha256 !== digest(payload))
    throw new Error("the payload does not match its sha256");
  return payload;
}

function digest(payload: string): string {
  return createHash("sha256").update(payload).digest("hex");
}

/** The text of a regular file of at most 64 MiB; never waits for what is not a file. */
export async function readSmallFile(path: string): Promise<string> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.size > MAX_FILE_BYTES)
      throw new Error(`it must be a file of at most ${MAX_FILE_BYTES} bytes`);
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

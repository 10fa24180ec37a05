// Reading a file that somebody names: no more of it than is wanted, and never one that holds us up.

import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { MAX_KEY_TEXT_BYTES, readPublicKeys, type PublicKey } from "./baselines/dsse.ts";
import { reasonOf } from "./errors.ts";

/** A regular file, or its first bytes: one more than `max` if it has them, so that whoever parses it sees that. */
export async function readUpTo(max: number, file: string): Promise<{ bytes: Buffer; mode: number }> {
  // O_NONBLOCK: a FIFO must not hold us up.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new Error("it is not a regular file");
    const buffer = Buffer.alloc(Math.min(found.size, max + 1));
    let length = 0;
    while (length < buffer.length) {
      // What comes over a network may come in pieces.
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return { bytes: buffer.subarray(0, length), mode: found.mode & 0o777 };
  } finally {
    await handle.close();
  }
}

/** A text that is of no use if it is not whole; throws if it has more than `max` bytes. */
export async function readText(max: number, file: string): Promise<string> {
  const { bytes } = await readUpTo(max, file);
  if (bytes.length > max) throw new Error(`it has more than ${max} bytes`);
  return bytes.toString();
}

/** Undefined if there is none. */
export async function readIfThere(max: number, file: string): Promise<Buffer | undefined> {
  try {
    return (await readUpTo(max, file)).bytes;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw thrown;
  }
}

/** Every key of these files, once; throws a sentence about the file that has none. */
export async function readPinnedKeys(files: readonly string[]): Promise<readonly PublicKey[]> {
  const keys = new Map<string, PublicKey>();
  for (const file of files) {
    const { bytes } = await readUpTo(MAX_KEY_TEXT_BYTES, file).catch((thrown: unknown) => {
      const wanted = "public keys were expected, as rimon seal keygen writes them";
      throw new Error(`${file} cannot be read: ${reasonOf(thrown)}; ${wanted}`, { cause: thrown });
    });
    try {
      for (const key of readPublicKeys(bytes.toString())) keys.set(key.id, key);
    } catch (thrown) {
      throw new Error(`${file}: ${reasonOf(thrown)}`, { cause: thrown });
    }
  }
  return [...keys.values()];
}

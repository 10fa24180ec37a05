// The files that commands about baselines are given: statements, envelopes, keys.

import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { MAX_KEY_TEXT_BYTES, readPublicKeys, type PublicKey } from "../baselines/dsse.ts";
import { isObject } from "../baselines/seal-problem.ts";
import { RimonError, reasonOf } from "../errors.ts";

/** A regular file, or its first bytes: one more than `max` if it has them, so that whoever parses it sees that. */
export async function readUpTo(max: number, file: string): Promise<{ bytes: Buffer; mode: number }> {
  try {
    // O_NONBLOCK: a FIFO must not hold us up.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = await handle.stat();
      if (!found.isFile()) throw new Error("it is not a regular file");
      const buffer = Buffer.alloc(Math.min(found.size, max + 1));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
      return { bytes: buffer.subarray(0, bytesRead), mode: found.mode & 0o777 };
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", `${file} cannot be read: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

/** Sealed, or at least meant to be. */
export function isEnvelope(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return isObject(value) && "payloadType" in value;
  } catch {
    // parseStatement() says what is wrong with it.
    return false;
  }
}

/** Every key of these files, once. */
export async function pinnedKeys(files: readonly string[]): Promise<PublicKey[]> {
  const keys = new Map<string, PublicKey>();
  for (const file of files) {
    const { bytes } = await readUpTo(MAX_KEY_TEXT_BYTES, file);
    try {
      for (const key of readPublicKeys(bytes.toString())) keys.set(key.id, key);
    } catch (thrown) {
      throw new RimonError("RIMON_USAGE", `${file}: ${reasonOf(thrown)}`, { cause: thrown });
    }
  }
  return [...keys.values()];
}

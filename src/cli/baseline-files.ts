// The files that commands about baselines are given: statements, envelopes, keys.

import type { PublicKey } from "../baselines/dsse.ts";
import { isObject } from "../baselines/seal-problem.ts";
import { RimonError, reasonOf } from "../errors.ts";
import { readPinnedKeys, readUpTo as read } from "../named-files.ts";

/** A regular file, or its first bytes; see named-files.ts. */
export async function readUpTo(max: number, file: string): Promise<{ bytes: Buffer; mode: number }> {
  try {
    return await read(max, file);
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
export async function pinnedKeys(files: readonly string[]): Promise<readonly PublicKey[]> {
  try {
    return await readPinnedKeys(files);
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", reasonOf(thrown), { cause: thrown });
  }
}

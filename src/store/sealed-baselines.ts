// Sealed baselines that the configuration names: read, verified, and remembered. The copy of the last good one is what
// is fallen back on, and it holds the counter that the next one may not be below.

import { dirname } from "node:path";
import { MAX_ENVELOPE_BYTES, parseEnvelope, verifyEnvelope, type PublicKey } from "../baselines/dsse.ts";
import type { BaselineInUse } from "../baselines/in-use.ts";
import { openSealed, SealProblem, type Expectations } from "../baselines/seal.ts";
import { parseHeader, parseStatement } from "../baselines/statement.ts";
import type { BaselineSettings } from "../configuration.ts";
import { reasonOf } from "../errors.ts";
import { machineOf } from "../machine.ts";
import { readIfThere, readPinnedKeys } from "../named-files.ts";
import { makePrivateDirectory, replaceFile } from "./durable.ts";

/** Opens the baseline that is to be used now; never throws. */
export async function openBaseline(
  { file, publicKeys, threshold, ifRefused, lastGood, ofAnyMachine = false }: BaselineSettings,
  predicateType: string,
  now: number,
): Promise<BaselineInUse> {
  let keys: readonly PublicKey[];
  try {
    keys = await readPinnedKeys(publicKeys);
  } catch (thrown) {
    return { refused: { code: "no-key", message: reasonOf(thrown) } };
  }
  const machine = ofAnyMachine ? {} : { machineId: machineOf().id };
  const expected: Expectations = { keys, threshold, predicateType, now, ...machine };
  const kept = await readIfThere(MAX_ENVELOPE_BYTES, lastGood).catch(() => undefined);
  const lastCounter = counterOf(kept, expected);
  try {
    const bytes = await readIfThere(MAX_ENVELOPE_BYTES, file);
    const opened = openSealed(bytes, { ...expected, ...(lastCounter === undefined ? {} : { lastCounter }) });
    if (bytes === undefined || (kept !== undefined && bytes.equals(kept))) return { opened };
    const notKept = await keep(lastGood, bytes);
    return { opened, ...(notKept === undefined ? {} : { notKept }) };
  } catch (thrown) {
    const refused =
      thrown instanceof SealProblem
        ? { code: thrown.code, message: thrown.message }
        : { code: "unreadable", message: `${file} cannot be read: ${reasonOf(thrown)}` };
    if (ifRefused === "none") return { refused };
    const opened = orUndefined(() => openSealed(kept, expected));
    return { refused, ...(opened === undefined ? {} : { opened }) };
  }
}

/** Of the copy: also of one that has expired, since a counter does not. */
function counterOf(kept: Buffer | undefined, { keys, threshold, predicateType }: Expectations): number | undefined {
  if (kept === undefined) return undefined;
  return orUndefined(() => {
    const statement = parseStatement(verifyEnvelope(parseEnvelope(kept), keys, threshold).payload);
    return statement.predicateType === predicateType ? parseHeader(statement.predicate).counter : undefined;
  });
}

/** Why it could not be written. */
async function keep(path: string, bytes: Buffer): Promise<string | undefined> {
  try {
    await makePrivateDirectory(dirname(path));
    await replaceFile(path, bytes.toString(), 0o600);
    return undefined;
  } catch (thrown) {
    return `${path} cannot be written: ${reasonOf(thrown)}`;
  }
}

function orUndefined<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

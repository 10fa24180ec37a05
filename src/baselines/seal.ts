// The seal: what must hold before a baseline is believed. Whatever is not known to hold is refused, so that a baseline
// that is taken away, cut or swapped never makes anything pass that would not pass with it.

import { parseEnvelope, verifyEnvelope, type PublicKey } from "./dsse.ts";
import { SealProblem, quoted } from "./seal-problem.ts";
import { parseHeader, parseStatement, type BaselineHeader, type Statement } from "./statement.ts";

export { SealProblem, type SealCode } from "./seal-problem.ts";

/** How far ahead the clock of the machine that made a baseline may be. */
const CLOCK_SKEW_MS = 5 * 60_000;

export interface Signers {
  readonly keys: readonly PublicKey[];
  /** How many of the keys must have signed. */
  readonly threshold: number;
}

export interface Expectations extends Signers {
  readonly predicateType: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The counter of the baseline that was in force last: an older one is refused, the same one is not. */
  readonly lastCounter?: number;
  readonly machineId?: string;
}

export interface Opened {
  readonly statement: Statement;
  readonly header: BaselineHeader;
  readonly keyIds: readonly string[];
}

/** Opens a sealed baseline that is to be used; `bytes` is undefined if there is none. Throws a SealProblem. */
export function openSealed(bytes: Uint8Array | undefined, expected: Expectations): Opened {
  const { statement, keyIds } = openSigned(bytes, expected);
  return { statement, header: checkHeader(statement, expected), keyIds };
}

/** Whether a baseline, sealed or not, is the one that is to be used here and now; its header. Throws a SealProblem. */
export function checkHeader(
  statement: Statement,
  { predicateType, now, lastCounter, machineId }: Omit<Expectations, keyof Signers>,
): BaselineHeader {
  if (statement.predicateType !== predicateType) {
    throw new SealProblem(
      "wrong-predicate",
      `a baseline of type ${quoted(predicateType)} was expected, got ${quoted(statement.predicateType)}; give the file of the right kind`,
    );
  }
  const header = parseHeader(statement.predicate);
  const { counter, machine } = header;
  if (machineId !== undefined && machine.id !== machineId) {
    throw new SealProblem(
      "other-machine",
      `a baseline of the machine ${machineId} was expected, got one of ${machine.id} (${quoted(machine.node)}); make one on this machine`,
    );
  }
  checkTime(header, now);
  if (lastCounter !== undefined && !(counter >= lastCounter)) {
    throw new SealProblem(
      "rolled-back",
      `a counter of at least ${lastCounter}, which was in force before, was expected, got ${counter}; install the newest baseline, or sign one with a greater counter`,
    );
  }
  return header;
}

/** Opens a sealed baseline of any type, counter and machine, for a person to look at. Throws a SealProblem. */
export function inspectSealed(
  bytes: Uint8Array | undefined,
  { now, ...signers }: Signers & { readonly now: number },
): Opened {
  const { statement, keyIds } = openSigned(bytes, signers);
  const header = parseHeader(statement.predicate);
  checkTime(header, now);
  return { statement, header, keyIds };
}

function openSigned(
  bytes: Uint8Array | undefined,
  { keys, threshold }: Signers,
): { statement: Statement; keyIds: readonly string[] } {
  if (bytes === undefined) {
    throw new SealProblem("missing", "a sealed baseline was expected, and there is none; make one and sign it");
  }
  const { payload, keyIds } = verifyEnvelope(parseEnvelope(bytes), keys, threshold);
  return { statement: parseStatement(payload), keyIds };
}

// Each asks what must be so: a time that is no number is refused and does not slip through.
function checkTime({ createdAt, expires }: BaselineHeader, now: number): void {
  if (!(Date.parse(createdAt) <= now + CLOCK_SKEW_MS)) {
    throw new SealProblem(
      "not-yet",
      `a baseline made before now (${new Date(now).toISOString()}) was expected, got one made ${createdAt}; set the clock of this machine or of the one that made it`,
    );
  }
  if (expires !== undefined && !(now < Date.parse(expires))) {
    throw new SealProblem(
      "expired",
      `a baseline that holds now (${new Date(now).toISOString()}) was expected, got one that expired ${expires}; make a new one and sign it`,
    );
  }
}

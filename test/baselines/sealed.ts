// A baseline, keys and envelopes for the tests of the seal.

import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { PAYLOAD_TYPE, envelopeBytes, publicKeyOf, signEnvelope, type PublicKey } from "../../src/baselines/dsse.ts";
import { STATEMENT_TYPE, statementBytes } from "../../src/baselines/statement.ts";

export const PREDICATE_TYPE = "https://rimon.dev/test-baseline/v1";
export const NOW = Date.parse("2026-06-01T12:00:00Z");

type Fields = Readonly<Record<string, unknown>>;

/** What a predicate has beside its header is not the seal's business. */
export const header = (overrides: Fields = {}): Fields => ({
  counter: 7,
  createdAt: "2026-06-01T11:00:00.000Z",
  expires: "2026-09-01T00:00:00Z",
  madeBy: { rimon: "0.1.0" },
  machine: { id: "ab".repeat(32), node: "node-7", kernel: "6.1.0-44-amd64", architecture: "x86_64" },
  files: [{ path: "/usr/sbin/sshd", mode: 0o755 }],
  ...overrides,
});

export const statement = (overrides: Fields = {}, headerOverrides: Fields = {}): Fields => ({
  _type: STATEMENT_TYPE,
  subject: [{ name: "/usr/sbin/sshd", digest: { sha256: "01".repeat(32) } }],
  predicateType: PREDICATE_TYPE,
  predicate: header(headerOverrides),
  ...overrides,
});

/** The bytes of whatever is given, also of what is no statement. */
export const bytesOf = (value: unknown): Buffer => statementBytes(value as Parameters<typeof statementBytes>[0]);

export interface Pair extends PublicKey {
  readonly privateKey: KeyObject;
}

export function newPair(): Pair {
  const { privateKey } = generateKeyPairSync("ed25519");
  return { privateKey, ...publicKeyOf(privateKey) };
}

/** The payload in an envelope signed by each of the keys. */
export function sealed(payload: Uint8Array, pairs: readonly Pair[], payloadType = PAYLOAD_TYPE): Buffer {
  let envelope;
  for (const { privateKey } of pairs) envelope = signEnvelope(payloadType, payload, privateKey, envelope);
  if (envelope === undefined) throw new Error("an envelope needs at least one key");
  return envelopeBytes(envelope);
}

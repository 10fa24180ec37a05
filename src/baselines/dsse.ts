// DSSE v1 envelopes (secure-systems-lab/dsse, protocol.md and envelope.md): bytes, what type they are of, and who signed
// both. Nothing here looks into the payload: it is verified first, and those very bytes are what is parsed afterwards.

import { createHash, createPublicKey, sign, verify, type KeyObject } from "node:crypto";
import { RimonError } from "../errors.ts";
import { SealProblem, isObject, kindOf, parseObject, quoted } from "./seal-problem.ts";

export const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/** Some 400,000 files with their digests; everything is held in memory a few times over. */
export const MAX_ENVELOPE_BYTES = 64 * 1024 * 1024;
const MAX_SIGNATURES = 64;
/** Each signature that is tried with a key reads all of the payload: without a bound, 64 false ones stop us for minutes. */
const MAX_TRIED_BYTES = 1024 * 1024 * 1024;

export const MAX_KEY_TEXT_BYTES = 64 * 1024;

/** Ed25519 and P-256 in its raw form (r, s) have it in common. */
const SIGNATURE_BYTES = 64;

export interface Signature {
  /** A hint for people and for speed that nobody vouches for; empty if there is none. */
  readonly keyid: string;
  readonly sig: Buffer;
}

export interface Envelope {
  readonly payloadType: string;
  readonly payload: Buffer;
  readonly signatures: readonly Signature[];
}

export interface PublicKey {
  /** The SHA-256 of its SPKI in DER, in lower-case hex. */
  readonly id: string;
  readonly key: KeyObject;
}

/** The bytes that are signed: the type and the payload, each with its length, so that neither can pass for the other. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

/** The envelope in these bytes, with nothing of it verified yet. */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  if (bytes.length === 0)
    throw new SealProblem("empty", "a sealed baseline must be a DSSE envelope, got an empty file");
  if (bytes.length > MAX_ENVELOPE_BYTES) {
    throw new SealProblem("too-large", `an envelope may have ${MAX_ENVELOPE_BYTES} bytes, and this one has more`);
  }
  const { payload, payloadType, signatures } = parseObject(bytes, "not-an-envelope", "a DSSE envelope");
  if (typeof payloadType !== "string") throw notAnEnvelope("payloadType must be a string", payloadType);
  const body = decoded(payload);
  if (body === undefined) throw notAnEnvelope("payload must be base64", payload);
  if (!Array.isArray(signatures)) throw notAnEnvelope("signatures must be an array", signatures);
  if (signatures.length === 0) {
    throw new SealProblem("unsigned", "the envelope carries no signature; sign it with rimon seal sign");
  }
  return { payloadType, payload: body, signatures: bounded(signatures).map(parseSignature) };
}

function parseSignature(entry: unknown, index: number): Signature {
  const name = `signatures[${index}]`;
  if (!isObject(entry)) throw notAnEnvelope(`${name} must be an object`, entry);
  const { keyid = "" } = entry;
  if (typeof keyid !== "string") throw notAnEnvelope(`${name}.keyid must be a string where it is given`, keyid);
  const sig = decoded(entry["sig"]);
  if (sig === undefined) throw notAnEnvelope(`${name}.sig must be base64`, entry["sig"]);
  return { keyid, sig };
}

function bounded<T>(signatures: readonly T[]): readonly T[] {
  if (signatures.length <= MAX_SIGNATURES) return signatures;
  throw new SealProblem("too-large", `an envelope may carry ${MAX_SIGNATURES} signatures, got ${signatures.length}`);
}

function notAnEnvelope(expected: string, came: unknown): SealProblem {
  const what = typeof came === "string" && came !== "" ? "another string" : kindOf(came);
  return new SealProblem("not-an-envelope", `in a DSSE envelope ${expected}, got ${what}`);
}

/** Base64 in the standard or the URL-safe alphabet, padded or not. No regular expression: its stack would be too small. */
function decoded(text: unknown): Buffer | undefined {
  if (typeof text !== "string") return undefined;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  if (padding > 0 && text.length % 4 !== 0) return undefined;
  const digits = text
    .slice(0, text.length - padding)
    .replaceAll("+", "-")
    .replaceAll("/", "_");
  const bytes = Buffer.from(digits, "base64url");
  // Node skips what is no base64 instead of refusing it.
  return bytes.toString("base64url") === digits ? bytes : undefined;
}

/** The envelope as it is kept in a file. */
export function envelopeBytes({ payload, payloadType, signatures }: Envelope): Buffer {
  const envelope = {
    payloadType,
    payload: payload.toString("base64"),
    signatures: signatures.map(({ keyid, sig }) => ({ keyid, sig: sig.toString("base64") })),
  };
  return Buffer.from(`${JSON.stringify(envelope)}\n`);
}

/**
 * The payload of an envelope that at least `threshold` of the keys have signed, and which of them did. Keys are counted and
 * not signatures, and only Ed25519 keys.
 */
export function verifyEnvelope(
  { payload, payloadType, signatures }: Envelope,
  keys: readonly PublicKey[],
  threshold: number,
): { payload: Buffer; keyIds: readonly string[] } {
  const pinned = new Map(keys.filter(({ key }) => isEd25519(key)).map((each) => [each.id, each]));
  if (!Number.isSafeInteger(threshold) || threshold < 1 || threshold > pinned.size) {
    throw new RimonError(
      "RIMON_USAGE",
      `a threshold must be a whole number of at least 1 and at most the number of Ed25519 keys, got ${threshold} for ${pinned.size}`,
    );
  }
  if (payloadType !== PAYLOAD_TYPE) {
    throw new SealProblem("wrong-type", `payloadType must be "${PAYLOAD_TYPE}", got ${quoted(payloadType)}`);
  }

  const signed = preAuthEncoding(payloadType, payload);
  const counted = new Set<string>();
  let tried = 0;
  for (const { keyid, sig } of bounded(signatures)) {
    const hinted = pinned.get(keyid);
    const others = [...pinned.values()].filter((each) => each !== hinted);
    for (const { id, key } of hinted === undefined ? others : [hinted, ...others]) {
      if (counted.has(id)) continue;
      tried += signed.length;
      if (tried > MAX_TRIED_BYTES) {
        throw new SealProblem(
          "too-large",
          `${signatures.length} signatures over ${payload.length} bytes take too long to try; leave out those that no pinned key made`,
        );
      }
      if (!verifySignature(key, signed, sig)) continue;
      counted.add(id);
      break;
    }
  }

  if (counted.size < threshold) throw tooFew(counted.size, threshold, pinned.size, signatures);
  return { payload, keyIds: [...pinned.keys()].filter((id) => counted.has(id)) };
}

function tooFew(valid: number, threshold: number, pinned: number, signatures: readonly Signature[]): SealProblem {
  if (valid > 0) {
    return new SealProblem(
      "below-threshold",
      `${threshold} of the ${pinned} pinned keys must have signed, got ${valid}; have the others sign with rimon seal sign`,
    );
  }
  const named = signatures.length === 1 ? ` (it names key ${quoted(signatures[0]?.keyid)})` : "";
  return new SealProblem(
    "wrong-key",
    `a signature of one of the ${pinned} pinned keys was expected, and none of the ${signatures.length} here is one${named}: it was changed after it was signed, or another key signed it; sign the original anew`,
  );
}

/** Whether the key made this signature: Ed25519, or ECDSA on P-256 with SHA-256 and a signature of r and s as they are. */
export function verifySignature(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  if (isEd25519(key)) return verify(null, bytes, key, signature);
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") return false;
  return verify("sha256", bytes, { key, dsaEncoding: "ieee-p1363" }, signature);
}

/** A new envelope of the payload, or the given one with one more signature; one that the key had made is replaced. */
export function signEnvelope(
  payloadType: string,
  payload: Uint8Array,
  privateKey: KeyObject,
  envelope?: Envelope,
): Envelope {
  if (privateKey.type !== "private" || !isEd25519(privateKey)) {
    throw new RimonError("RIMON_USAGE", `a baseline is signed with an Ed25519 private key, got ${nameOf(privateKey)}`);
  }
  if (envelope !== undefined && (envelope.payloadType !== payloadType || !envelope.payload.equals(payload))) {
    throw new RimonError(
      "RIMON_USAGE",
      "an envelope gets one more signature over its own payload, got another payload",
    );
  }
  const { id, key } = publicKeyOf(privateKey);
  const bytes = preAuthEncoding(payloadType, payload);
  const others = (envelope?.signatures ?? []).filter(
    ({ keyid, sig }) => keyid !== id && !verifySignature(key, bytes, sig),
  );
  const signatures = bounded([...others, { keyid: id, sig: sign(null, bytes, privateKey) }]);
  return { payloadType, payload: Buffer.from(payload), signatures };
}

/** The public key, also of a private one, with the name that signatures have for it. */
export function publicKeyOf(from: KeyObject): PublicKey {
  const key = from.type === "private" ? createPublicKey(from) : from;
  const der = key.export({ type: "spki", format: "der" });
  return { id: createHash("sha256").update(der).digest("hex"), key };
}

/** The Ed25519 public keys of a text of PEM blocks, each once; beside them it may have comments, lines that begin with #. */
export function readPublicKeys(text: string): PublicKey[] {
  if (text.length > MAX_KEY_TEXT_BYTES) throw notKeys(`more than ${MAX_KEY_TEXT_BYTES} bytes`);
  if (/PRIVATE KEY-----/.test(text)) {
    throw notKeys("a private key: give its .pub file, and keep the private key off the nodes");
  }
  const blocks: string[] = [];
  // Only at the beginning of a line: a key that is commented out is none.
  const rest = text.replace(/^-----BEGIN PUBLIC KEY-----[^-#]*^-----END PUBLIC KEY-----/gm, (block) => {
    blocks.push(block);
    return "";
  });
  if (rest.split("\n").some((line) => line.trim() !== "" && !line.startsWith("#"))) {
    throw notKeys("text that is neither such a block nor a comment");
  }
  if (blocks.length === 0) throw notKeys("no such block");
  const keys = blocks.map(readPublicKey);
  return [...new Map(keys.map((key) => [key.id, key])).values()];
}

function readPublicKey(pem: string): PublicKey {
  let key;
  try {
    key = createPublicKey(pem);
  } catch (thrown) {
    throw notKeys("a block that is no key", thrown);
  }
  if (!isEd25519(key)) throw notKeys(`a key of type ${nameOf(key)}`);
  return publicKeyOf(key);
}

function notKeys(came: string, cause?: unknown): RimonError {
  return new RimonError("RIMON_USAGE", `Ed25519 public keys in PEM (PUBLIC KEY blocks) were expected, got ${came}`, {
    cause,
  });
}

function isEd25519(key: KeyObject): boolean {
  return key.asymmetricKeyType === "ed25519";
}

function nameOf(key: KeyObject): string {
  return `${key.asymmetricKeyType ?? "secret"} (${key.type})`;
}

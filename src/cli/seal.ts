// `rimon seal keygen|sign|verify`: keys for baselines, signing them, and proving who did. No key byte is ever printed.

import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import {
  MAX_ENVELOPE_BYTES,
  MAX_KEY_TEXT_BYTES,
  PAYLOAD_TYPE,
  envelopeBytes,
  parseEnvelope,
  publicKeyOf,
  signEnvelope,
  type Envelope,
} from "../baselines/dsse.ts";
import { SealProblem, inspectSealed } from "../baselines/seal.ts";
import { parseHeader, parseStatement, type BaselineHeader, type Statement } from "../baselines/statement.ts";
import { RimonError, reasonOf } from "../errors.ts";
import { printable } from "../responders/printable.ts";
import { errnoOf, ignoreMissing, replaceFile, syncDirectory, writeNewFile } from "../store/durable.ts";
import { isEnvelope, pinnedKeys, readUpTo } from "./baseline-files.ts";
import { table, type Terminal } from "./terminal.ts";

const MAX_NAMES_SHOWN = 10;

interface Output {
  readonly json: boolean;
}

function writeJson(terminal: Terminal, act: string, fields: Readonly<Record<string, unknown>>): void {
  terminal.write(`${JSON.stringify({ type: "seal", version: 1, act, ...fields })}\n`);
}

export async function sealKeygenCommand(file: string, options: Output, terminal: Terminal): Promise<number> {
  const publicKeyFile = `${file}.pub`;
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  await writeKey(file, privateKey.export({ type: "pkcs8", format: "pem" }).toString(), 0o600);
  try {
    await writeKey(publicKeyFile, publicKey.export({ type: "spki", format: "pem" }).toString(), 0o644);
  } catch (thrown) {
    await unlink(file);
    throw thrown;
  }
  await syncDirectory(dirname(file));
  const { id: keyId } = publicKeyOf(publicKey);
  if (options.json) {
    writeJson(terminal, "keygen", { file, publicKeyFile, keyId });
    return 0;
  }
  terminal.write(
    table([
      ["key id", keyId],
      ["secret key", printable(file)],
      ["public key", printable(publicKeyFile)],
    ]),
  );
  terminal.write("The secret key belongs off the nodes: who holds it can sign whatever they are to believe.\n");
  return 0;
}

async function writeKey(file: string, pem: string, mode: number): Promise<void> {
  try {
    await writeNewFile(file, pem, mode);
  } catch (thrown) {
    const reason = errnoOf(thrown) === "EEXIST" ? "it is there already, and no key is overwritten" : reasonOf(thrown);
    throw new RimonError("RIMON_USAGE", `the key file ${file} cannot be written: ${reason}`, { cause: thrown });
  }
}

export interface SignOptions extends Output {
  readonly key: string;
  readonly out?: string;
}

export async function sealSignCommand(file: string, options: SignOptions, terminal: Terminal): Promise<number> {
  const { out = file } = options;
  const privateKey = await readPrivateKey(options.key);
  const { bytes, mode } = await readUpTo(MAX_ENVELOPE_BYTES, file);
  const { envelope, statement, header } = signed(file, bytes, privateKey);
  await writeEnvelope(out, envelopeBytes(envelope), mode);

  const { id: keyId } = publicKeyOf(privateKey);
  const signatures = envelope.signatures.length;
  if (options.json) {
    writeJson(terminal, "sign", { file, out, keyId, signatures, ...summaryOf(statement, header) });
    return 0;
  }
  terminal.write(
    `${terminal.style("ok", "signed")}  ${printable(out)}: ${signatures} ${signatures === 1 ? "signature" : "signatures"}\n`,
  );
  terminal.write(table([...describe(statement, header), ["key id", keyId]]));
  return 0;
}

/** Signs nothing but a baseline that somebody could use. */
function signed(
  file: string,
  bytes: Buffer,
  privateKey: KeyObject,
): { envelope: Envelope; statement: Statement; header: BaselineHeader } {
  try {
    const before = isEnvelope(bytes) ? parseEnvelope(bytes) : undefined;
    if (before !== undefined && before.payloadType !== PAYLOAD_TYPE) {
      throw new SealProblem("wrong-type", `payloadType must be "${PAYLOAD_TYPE}", got another one`);
    }
    const payload = before?.payload ?? bytes;
    const statement = parseStatement(payload);
    const header = parseHeader(statement.predicate);
    if (header.expires !== undefined && Date.parse(header.expires) <= Date.now()) {
      throw new SealProblem("expired", `it expired ${header.expires}; make a new one`);
    }
    return { envelope: signEnvelope(PAYLOAD_TYPE, payload, privateKey, before), statement, header };
  } catch (thrown) {
    if (!(thrown instanceof SealProblem)) throw thrown;
    throw new RimonError("RIMON_USAGE", `${file} is no baseline to sign (${thrown.code}): ${thrown.message}`, {
      cause: thrown,
    });
  }
}

async function writeEnvelope(out: string, bytes: Buffer, mode: number): Promise<void> {
  try {
    const there = await stat(out).catch(ignoreMissing);
    if (there?.isDirectory() === true) throw new Error("it is a directory");
    if (bytes.length > MAX_ENVELOPE_BYTES) throw new Error(`it would have more than ${MAX_ENVELOPE_BYTES} bytes`);
    // No more people may read the envelope than the baseline.
    await replaceFile(out, bytes.toString(), mode);
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", `the envelope ${out} cannot be written: ${reasonOf(thrown)}`, {
      cause: thrown,
    });
  }
}

async function readPrivateKey(file: string): Promise<KeyObject> {
  const { bytes: pem, mode } = await readUpTo(MAX_KEY_TEXT_BYTES, file);
  let key;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The reason of the parser is left out: it may quote the file.
  } finally {
    pem.fill(0);
  }
  if (key?.asymmetricKeyType !== "ed25519") {
    throw new RimonError(
      "RIMON_USAGE",
      `${file} must be an Ed25519 private key in PKCS#8 PEM without a passphrase, as rimon seal keygen makes it`,
    );
  }
  if ((mode & 0o077) !== 0) {
    const shown = mode.toString(8).padStart(4, "0");
    process.stderr.write(`rimon: others may read the secret key ${printable(file)} (mode ${shown}); chmod 0600 it\n`);
  }
  return key;
}

export interface VerifyOptions extends Output {
  readonly publicKey: readonly string[];
  readonly threshold: number;
}

/** Exit code 1 if it does not verify. */
export async function sealVerifyCommand(file: string, options: VerifyOptions, terminal: Terminal): Promise<number> {
  const { style } = terminal;
  const { threshold } = options;
  const keys = await pinnedKeys(options.publicKey);
  if (threshold > keys.length) {
    throw new RimonError(
      "RIMON_USAGE",
      `--threshold must be at most the number of keys, got ${threshold} for ${keys.length}`,
    );
  }
  try {
    const { statement, header, keyIds } = inspectSealed(await sealedBytes(file), { keys, threshold, now: Date.now() });
    if (options.json) {
      writeJson(terminal, "verify", { file, ok: true, ...summaryOf(statement, header), keyIds });
      return 0;
    }
    terminal.write(`${style("ok", "verified")}  ${printable(file)}: ${keyIds.length} of ${keys.length} keys\n`);
    const [first, ...more] = keyIds;
    terminal.write(
      table([...describe(statement, header), ["signed by", first ?? ""], ...more.map((id): Row => ["", id])]),
    );
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof SealProblem)) throw thrown;
    const { code, message } = thrown;
    if (options.json) writeJson(terminal, "verify", { file, ok: false, code, message });
    else terminal.write(`${style("bad", "NOT VERIFIED")}  ${printable(file)}: ${code}: ${printable(message, 600)}\n`);
    return 1;
  }
}

async function sealedBytes(file: string): Promise<Buffer | undefined> {
  try {
    return (await readUpTo(MAX_ENVELOPE_BYTES, file)).bytes;
  } catch (thrown) {
    if (thrown instanceof RimonError && errnoOf(thrown.cause) === "ENOENT") return undefined;
    throw thrown;
  }
}

function summaryOf({ predicateType, subject }: Statement, header: BaselineHeader): Readonly<Record<string, unknown>> {
  return { predicateType, subjects: subject.map(({ name }) => name), ...header };
}

type Row = readonly [name: string, value: string];

function describe({ predicateType, subject }: Statement, header: BaselineHeader): readonly Row[] {
  const { counter, createdAt, expires, madeBy, machine } = header;
  const named = subject.slice(0, MAX_NAMES_SHOWN).map(({ name }) => printable(name, 80));
  const more = subject.length - named.length;
  return [
    ["type", printable(predicateType)],
    ["subjects", `${named.join(", ")}${more === 0 ? "" : ` and ${more} more`}`],
    ["counter", String(counter)],
    ["made", `${createdAt} by rimon ${printable(madeBy.rimon)}`],
    ["on", `${printable(machine.node)}, Linux ${printable(machine.kernel)}, ${printable(machine.architecture)}`],
    ["machine", machine.id],
    ["expires", expires ?? "never"],
  ];
}

// The key that signs the audit log's checkpoints: made once, kept in a file of mode 0600, never printed.

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { constants } from "node:fs";
import { link, open, readFile, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { RimonError, reasonOf } from "../errors.ts";
import { errnoOf, ignoreMissing, makePrivateDirectory, replaceFile, syncDirectory, writeNewFile } from "./durable.ts";

export interface SigningKey {
  readonly privateKey: KeyObject;
  /** "ed25519:" and the 32 bytes in base64url. */
  readonly publicKey: string;
  readonly publicKeyPem: string;
  /** What was found wrong beside the key and put right. */
  readonly note?: string;
}

const PREFIX = "ed25519:";
const MAX_KEY_FILE_BYTES = 16 * 1024;

/** The name under which a public key stands in the log. */
export function publicKeyName(key: KeyObject): string {
  return PREFIX + key.export({ format: "jwk" }).x;
}

/** The key of such a name; undefined if the name is not exactly one that publicKeyName() gives. */
export function publicKeyOf(name: string): KeyObject | undefined {
  if (!name.startsWith(PREFIX)) return undefined;
  const x = name.slice(PREFIX.length);
  const raw = Buffer.from(x, "base64url");
  if (raw.length !== 32 || raw.toString("base64url") !== x) return undefined;
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
}

/** Reads one or more public keys in PEM, as they stand in <keyFile>.pub. */
export async function readPublicKeys(file: string): Promise<string[]> {
  try {
    const text = await readFile(file, "utf8");
    const blocks = text.match(/-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----/g) ?? [];
    if (blocks.length === 0) throw new Error("it holds no PUBLIC KEY block in PEM");
    return blocks.map((pem) => {
      const key = createPublicKey(pem);
      if (key.asymmetricKeyType !== "ed25519") throw new Error(`it holds a key of type ${key.asymmetricKeyType}`);
      return publicKeyName(key);
    });
  } catch (thrown) {
    throw new RimonError(
      "RIMON_AUDIT",
      `${file} must hold the Ed25519 public key of the audit log (the .pub file beside its key): ${reasonOf(thrown)}`,
      { cause: thrown },
    );
  }
}

/** Opens the signing key, making it at the first start. */
export async function openSigningKey(keyFile: string): Promise<SigningKey> {
  const privateKey = (await load(keyFile)) ?? (await create(keyFile));
  const publicKey = createPublicKey(privateKey);
  const publicKeyPem = publicKey.export({ type: "spki", format: "pem" }).toString();
  const note = await publish(`${keyFile}.pub`, publicKeyPem);
  return {
    privateKey,
    publicKey: publicKeyName(publicKey),
    publicKeyPem,
    ...(note === undefined ? {} : { note }),
  };
}

async function load(keyFile: string): Promise<KeyObject | undefined> {
  let handle;
  try {
    // O_NONBLOCK: a FIFO in its place must not hold up the start.
    handle = await open(keyFile, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw unusable(keyFile, `cannot be opened (${reasonOf(thrown)})`, "give rimon the right to read it", thrown);
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.size > MAX_KEY_FILE_BYTES) {
      throw unusable(keyFile, "is not a key file", "move it away, and a new key is made at the next start");
    }
    const user = process.geteuid?.() ?? stat.uid;
    if (stat.uid !== user) {
      throw unusable(
        keyFile,
        `belongs to user ${stat.uid}, not to user ${user} that rimon runs as`,
        `chown ${user} ${keyFile}`,
      );
    }
    if ((stat.mode & 0o177) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, "0");
      throw unusable(
        keyFile,
        `has mode ${mode}, so others may have read it; it must be 0600`,
        "move it away, and a new key is made at the next start; or, if nobody else could reach it, chmod 0600",
      );
    }
    const pem = await handle.readFile();
    try {
      const key = createPrivateKey(pem);
      if (key.asymmetricKeyType === "ed25519") return key;
    } catch {
      // The reason of the parser is left out: it may quote the file.
    } finally {
      pem.fill(0);
    }
    throw unusable(
      keyFile,
      "is not an Ed25519 private key in PKCS#8 PEM",
      "restore it, or move it away and a new key is made",
    );
  } finally {
    await handle.close();
  }
}

async function create(keyFile: string): Promise<KeyObject> {
  const temporary = `${keyFile}.${process.pid}.tmp`;
  try {
    await makePrivateDirectory(dirname(keyFile));
    const { privateKey } = generateKeyPairSync("ed25519");
    await unlink(temporary).catch(ignoreMissing);
    await writeNewFile(temporary, privateKey.export({ type: "pkcs8", format: "pem" }).toString(), 0o600);
    try {
      // link(2) refuses an existing name as O_EXCL does, and the file is whole before it has its name.
      await link(temporary, keyFile);
    } finally {
      await unlink(temporary);
    }
    await syncDirectory(dirname(keyFile));
    return privateKey;
  } catch (thrown) {
    const other = errnoOf(thrown) === "EEXIST" ? await load(keyFile) : undefined;
    if (other !== undefined) return other;
    throw unusable(
      keyFile,
      `cannot be made (${reasonOf(thrown)})`,
      "let audit.keyFile name a place rimon can write to",
      thrown,
    );
  }
}

/** Keeps the public key beside the private one; says so if another stood there. */
async function publish(file: string, pem: string): Promise<string | undefined> {
  const found = await readFile(file, "utf8").catch((thrown: unknown) => {
    ignoreMissing(thrown);
    return undefined;
  });
  if (found === pem) return undefined;
  try {
    await replaceFile(file, pem, 0o644);
  } catch (thrown) {
    // The key itself may be mounted read-only; the log names the public key too.
    return `the public key could not be written to ${file}: ${reasonOf(thrown)}`;
  }
  return found === undefined ? undefined : `${file} held another key than the one that signs and was written anew`;
}

function unusable(keyFile: string, what: string, remedy: string, cause?: unknown): RimonError {
  return new RimonError("RIMON_AUDIT", `the audit log's signing key ${keyFile} ${what}; ${remedy}`, { cause });
}

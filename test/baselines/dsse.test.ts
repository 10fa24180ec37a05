import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  MAX_ENVELOPE_BYTES,
  PAYLOAD_TYPE,
  envelopeBytes,
  parseEnvelope,
  preAuthEncoding,
  publicKeyOf,
  readPublicKeys,
  signEnvelope,
  verifyEnvelope,
  verifySignature,
} from "../../src/baselines/dsse.ts";
import type { SealCode } from "../../src/baselines/seal.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { bytesOf, newPair, sealed, statement } from "./sealed.ts";

const payload = bytesOf(statement());
const [a, b, c] = [newPair(), newPair(), newPair()];

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const refused = (code: SealCode, message = /\S/) => ({ name: "SealProblem", code, message });

/** The envelope as an object that a test may bend. */
function fieldsOf(envelope: Buffer): { payload: string; payloadType: string; signatures: Record<string, unknown>[] } {
  return JSON.parse(envelope.toString()) as ReturnType<typeof fieldsOf>;
}

describe("pre-authentication encoding", () => {
  it("of the specification's example", () => {
    assert.equal(
      preAuthEncoding("http://example.com/HelloWorld", Buffer.from("hello world")).toString(),
      "DSSEv1 29 http://example.com/HelloWorld 11 hello world",
    );
  });

  it("counts bytes and not characters, and takes an empty payload", () => {
    assert.equal(preAuthEncoding("é", Buffer.from("ü")).toString(), "DSSEv1 2 é 2 ü");
    assert.equal(preAuthEncoding("", Buffer.alloc(0)).toString(), "DSSEv1 0  0 ");
  });
});

describe("the signature of the DSSE specification", () => {
  const coordinate = (decimal: string): string =>
    Buffer.from(BigInt(decimal).toString(16).padStart(64, "0"), "hex").toString("base64url");
  const key = createPublicKey({
    format: "jwk",
    key: {
      kty: "EC",
      crv: "P-256",
      x: coordinate("46950820868899156662930047687818585632848591499744589407958293238635476079160"),
      y: coordinate("5640078356564379163099075877009565129882514886557779369047442380624545832820"),
    },
  });
  const { payloadType, payload: body, signatures } = parseEnvelope(
    json({
      payload: "aGVsbG8gd29ybGQ=",
      payloadType: "http://example.com/HelloWorld",
      signatures: [{ sig: "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==" }],
    }),
  ); // prettier-ignore
  const signature = signatures[0]?.sig ?? Buffer.alloc(0);

  it("verifies, and does not with any bit of it turned", () => {
    const bytes = preAuthEncoding(payloadType, body);
    assert.ok(verifySignature(key, bytes, signature));
    for (let bit = 0; bit < signature.length * 8; bit++) {
      const other = Buffer.from(signature);
      other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(verifySignature(key, bytes, other), false);
    }
    assert.equal(verifySignature(key, body, signature), false);
  });

  it("counts for no baseline: its key is not Ed25519", () => {
    const envelope = { payloadType: PAYLOAD_TYPE, payload: body, signatures };
    assert.throws(() => verifyEnvelope(envelope, [publicKeyOf(key)], 1), {
      code: "RIMON_USAGE",
      message: /got 1 for 0/,
    });
  });
});

describe("parsing an envelope", () => {
  const good = fieldsOf(sealed(payload, [a]));

  it("takes both alphabets, with and without padding, and drops what it does not know", () => {
    // Of 0 to 2 bytes of padding, with digits that the alphabets differ in.
    for (const body of ["fb", "fbff", "fbffbf", ""].map((hex) => Buffer.from(hex, "hex"))) {
      for (const text of [body.toString("base64"), body.toString("base64url")]) {
        for (const padded of [text, text.replace(/=+$/, ""), text.padEnd(Math.ceil(text.length / 4) * 4, "=")]) {
          const envelope = parseEnvelope(json({ ...good, payload: padded, more: [1] }));
          assert.deepEqual(envelope, { ...parseEnvelope(json(good)), payload: body });
        }
      }
    }
  });

  it("takes a signature without keyid as one with an empty one", () => {
    const [signature] = good.signatures;
    const envelope = parseEnvelope(json({ ...good, signatures: [{ sig: signature?.["sig"], more: true }] }));
    assert.equal(envelope.signatures[0]?.keyid, "");
    assert.deepEqual(verifyEnvelope(envelope, [a], 1), { payload, keyIds: [a.id] });
  });

  const bad: readonly (readonly [what: string, bytes: Buffer, code: SealCode, says: RegExp])[] = [
    ["no byte", Buffer.alloc(0), "empty", /got an empty file/],
    ["one byte too many", Buffer.alloc(MAX_ENVELOPE_BYTES + 1, " "), "too-large", /may have 67108864 bytes/],
    ["text", Buffer.from("hello"), "not-an-envelope", /must be JSON in UTF-8, got 5 bytes/],
    ["a byte order mark", Buffer.concat([Buffer.from("\ufeff"), json(good)]), "not-an-envelope", /must be JSON/],
    ["bytes that are no UTF-8", Buffer.concat([json(good), Buffer.of(0xff)]), "not-an-envelope", /must be JSON/],
    ["nesting without end", Buffer.alloc(1_000_000, "["), "not-an-envelope", /must be JSON/],
    ["null", json(null), "not-an-envelope", /must be a JSON object, got null/],
    ["an array", json([good]), "not-an-envelope", /must be a JSON object, got an array/],
    ["no payloadType", json({ ...good, payloadType: undefined }), "not-an-envelope", /payloadType must be a string, got nothing/],
    ["a number for payloadType", json({ ...good, payloadType: 1 }), "not-an-envelope", /got a number/],
    ["no payload", json({ ...good, payload: undefined }), "not-an-envelope", /payload must be base64, got nothing/],
    ["an object for payload", json({ ...good, payload: {} }), "not-an-envelope", /got an object/],
    ["base64 of one digit", json({ ...good, payload: "A" }), "not-an-envelope", /got another string/],
    ["base64 with a line end", json({ ...good, payload: "aGVs\nbG8=" }), "not-an-envelope", /payload must be base64/],
    ["base64 with spare bits", json({ ...good, payload: "aGVsbG9=" }), "not-an-envelope", /payload must be base64/],
    ["base64 of wrong padding", json({ ...good, payload: "aGVsbG8==" }), "not-an-envelope", /payload must be base64/],
    ["padding alone", json({ ...good, payload: "====" }), "not-an-envelope", /payload must be base64/],
    ["no signatures", json({ ...good, signatures: undefined }), "not-an-envelope", /must be an array, got nothing/],
    ["an object for signatures", json({ ...good, signatures: {} }), "not-an-envelope", /must be an array, got an object/],
    ["not one signature", json({ ...good, signatures: [] }), "unsigned", /sign it with rimon seal sign/],
    ["65 signatures", json({ ...good, signatures: Array(65).fill(good.signatures[0]) }), "too-large", /64 signatures, got 65/],
    ["null for a signature", json({ ...good, signatures: [null] }), "not-an-envelope", /signatures\[0\] must be an object, got null/],
    ["no sig", json({ ...good, signatures: [{ keyid: "" }] }), "not-an-envelope", /signatures\[0\]\.sig must be base64, got nothing/],
    ["an empty object for sig", json({ ...good, signatures: [{ sig: {} }] }), "not-an-envelope", /got an object/],
    ["null for keyid", json({ ...good, signatures: [{ ...good.signatures[0], keyid: null }] }), "not-an-envelope", /keyid .* got null/],
  ]; // prettier-ignore
  for (const [what, bytes, code, says] of bad) {
    it(`refuses ${what}: ${code}`, () => assert.throws(() => parseEnvelope(bytes), refused(code, says)));
  }

  it("quotes nothing of a file that is no envelope", () => {
    const secret = a.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    for (const bytes of [Buffer.from(secret), json({ ...good, payload: secret }), json({ k: secret })]) {
      assert.throws(
        () => parseEnvelope(bytes),
        ({ message }: Error) => !/PRIVATE|MC4C/.test(message),
      );
    }
  });
});

describe("verifying an envelope", () => {
  it("counts keys and not signatures", () => {
    const { signatures, ...rest } = parseEnvelope(sealed(payload, [a]));
    const twice = { ...rest, signatures: [...signatures, ...signatures.map((each) => ({ ...each, keyid: b.id }))] };
    assert.deepEqual(verifyEnvelope(twice, [a, b], 1).keyIds, [a.id]);
    assert.throws(() => verifyEnvelope(twice, [a, b], 2), refused("below-threshold", /2 of the 2 pinned keys .* got 1/));
    assert.throws(() => verifyEnvelope(twice, [a, a], 2), { code: "RIMON_USAGE", message: /got 2 for 1/ });
  }); // prettier-ignore

  it("asks for as many of the keys as the threshold says, in any order", () => {
    const envelope = parseEnvelope(sealed(payload, [c, a]));
    assert.deepEqual(verifyEnvelope(envelope, [a, b, c], 2), { payload, keyIds: [a.id, c.id] });
    assert.throws(() => verifyEnvelope(envelope, [a, b, c], 3), refused("below-threshold"));
    assert.deepEqual(verifyEnvelope(envelope, [c], 1).keyIds, [c.id]);
    assert.throws(() => verifyEnvelope(envelope, [b], 1), refused("wrong-key"));
  });

  it("does not believe a keyid, neither to accept nor to refuse", () => {
    const { signatures, ...rest } = parseEnvelope(sealed(payload, [a]));
    for (const keyid of ["", b.id, "whatever", "__proto__"]) {
      const renamed = { ...rest, signatures: signatures.map(({ sig }) => ({ keyid, sig })) };
      assert.deepEqual(verifyEnvelope(renamed, [b, a], 1).keyIds, [a.id]);
      assert.throws(() => verifyEnvelope(renamed, [b], 1), refused("wrong-key"));
    }
  });

  it("names the key that a refused signature claims", () => {
    const envelope = parseEnvelope(sealed(payload, [a]));
    assert.throws(() => verifyEnvelope(envelope, [b], 1), refused("wrong-key", new RegExp(`names key "${a.id}"`)));
  });

  it("refuses another payload type before it looks at signatures", () => {
    const envelope = parseEnvelope(sealed(payload, [a], "text/plain"));
    assert.throws(() => verifyEnvelope(envelope, [a], 1), refused("wrong-type", /vnd\.in-toto\+json", got "text\/plain"/));
  }); // prettier-ignore

  it("gives the bytes that were verified, whatever they are", () => {
    const body = Buffer.from([0xff, 0, 0x7b]);
    assert.deepEqual(verifyEnvelope(parseEnvelope(sealed(body, [a])), [a], 1).payload, body);
  });

  it("a threshold that no number of signatures meets, or that none is needed for, is a mistake", () => {
    const envelope = parseEnvelope(sealed(payload, [a]));
    for (const threshold of [0, -1, 2, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => verifyEnvelope(envelope, [a], threshold), { code: "RIMON_USAGE" });
    }
    assert.throws(() => verifyEnvelope(envelope, [], 1), { code: "RIMON_USAGE" });
  });

  it("does not try false signatures over a large payload without end", () => {
    const body = Buffer.alloc(40 * 1024 * 1024);
    const [good] = signEnvelope(PAYLOAD_TYPE, body, a.privateKey).signatures;
    assert.ok(good !== undefined);
    const falsely = Array.from({ length: 63 }, () => ({ keyid: "", sig: Buffer.alloc(64) }));
    const envelope = { payloadType: PAYLOAD_TYPE, payload: body, signatures: [...falsely, good] };
    assert.throws(() => verifyEnvelope(envelope, [a, b], 1), refused("too-large", /64 signatures over 41943040 bytes/));
    assert.deepEqual(verifyEnvelope({ ...envelope, signatures: [good] }, [b, a], 1).keyIds, [a.id]);
  });

  it("a signature of the wrong length is none", () => {
    const { signatures, ...rest } = parseEnvelope(sealed(payload, [a]));
    for (const length of [0, 1, 63, 65, 72, 10_000]) {
      const sig = Buffer.concat([signatures[0]?.sig ?? Buffer.alloc(0), Buffer.alloc(10_000)]).subarray(0, length);
      assert.throws(() => verifyEnvelope({ ...rest, signatures: [{ keyid: a.id, sig }] }, [a], 1), refused("wrong-key"));
    }
  }); // prettier-ignore
});

describe("signing", () => {
  it("a second time with the same key replaces the first, under whatever name that was kept", () => {
    const first = parseEnvelope(sealed(payload, [a, b]));
    const again = signEnvelope(PAYLOAD_TYPE, payload, a.privateKey, first);
    assert.deepEqual(again.signatures.map(({ keyid }) => keyid), [b.id, a.id]);
    const renamed = { ...first, signatures: first.signatures.map(({ sig }) => ({ keyid: "", sig })) };
    assert.equal(signEnvelope(PAYLOAD_TYPE, payload, a.privateKey, renamed).signatures.length, 2);
    const forged = { ...first, signatures: [{ keyid: a.id, sig: Buffer.alloc(64) }] };
    assert.deepEqual(verifyEnvelope(signEnvelope(PAYLOAD_TYPE, payload, a.privateKey, forged), [a], 1).keyIds, [a.id]);
  }); // prettier-ignore

  it("reads back what it wrote", () => {
    const envelope = signEnvelope(PAYLOAD_TYPE, payload, a.privateKey);
    assert.deepEqual(parseEnvelope(envelopeBytes(envelope)), envelope);
  });

  it("never over another payload, nor with another kind of key, nor beyond 64", () => {
    const envelope = parseEnvelope(sealed(payload, [a]));
    const other = Buffer.from("{}");
    assert.throws(() => signEnvelope(PAYLOAD_TYPE, other, b.privateKey, envelope), { code: "RIMON_USAGE" });
    assert.throws(() => signEnvelope("text/plain", payload, b.privateKey, envelope), { code: "RIMON_USAGE" });
    assert.throws(() => signEnvelope(PAYLOAD_TYPE, payload, a.key), { code: "RIMON_USAGE", message: /\(public\)/ });
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    assert.throws(() => signEnvelope(PAYLOAD_TYPE, payload, privateKey), { code: "RIMON_USAGE", message: /got ec/ });
    const full = { ...envelope, signatures: Array.from({ length: 64 }, () => ({ keyid: "", sig: Buffer.alloc(64) })) };
    assert.throws(() => signEnvelope(PAYLOAD_TYPE, payload, a.privateKey, full), refused("too-large"));
  });
});

describe("openssl, as a second implementation", () => {
  const folder = temporaryDirectory("openssl");
  const file = (name: string, content: string | Buffer): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  const openssl = (...args: string[]): Buffer => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] });
  const encoded = file("pae", preAuthEncoding(PAYLOAD_TYPE, payload));

  it("verifies what we signed, and refuses it over other bytes", () => {
    const sig = file("ours.sig", parseEnvelope(sealed(payload, [a])).signatures[0]?.sig ?? "");
    const key = file("ours.pub", a.key.export({ type: "spki", format: "pem" }));
    const verify = (input: string): Buffer =>
      openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", key, "-sigfile", sig, "-in", input);
    assert.match(verify(encoded).toString(), /Signature Verified Successfully/);
    assert.throws(() => verify(file("bare", payload)));
  });

  it("signs what we open, with a key of its own and its name for it", () => {
    const key = join(folder, "theirs.key");
    openssl("genpkey", "-algorithm", "ed25519", "-out", key);
    const sig = openssl("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", encoded);
    const [theirs, ...more] = readPublicKeys(openssl("pkey", "-in", key, "-pubout").toString());
    assert.ok(theirs !== undefined && more.length === 0);
    const der = file("theirs.der", openssl("pkey", "-in", key, "-pubout", "-outform", "DER"));
    assert.match(openssl("dgst", "-sha256", "-r", der).toString(), new RegExp(`^${theirs.id} `));

    const signatures = [{ keyid: "made by openssl", sig: sig.toString("base64url") }];
    const envelope = json({ payloadType: PAYLOAD_TYPE, payload: payload.toString("base64url"), signatures });
    assert.deepEqual(verifyEnvelope(parseEnvelope(envelope), [theirs], 1), { payload, keyIds: [theirs.id] });
    assert.throws(() => verifyEnvelope(parseEnvelope(envelope), [a], 1), refused("wrong-key"));
  });
});

describe("public keys in PEM", () => {
  const pem = ({ key }: { key: typeof a.key }): string => key.export({ type: "spki", format: "pem" }).toString();
  const secret = a.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });

  it("one or more, with comments, each once and in their order", () => {
    const text = `# the first\n${pem(a)}\n\n#second\r\n${pem(b).replaceAll("\n", "\r\n")}${pem(a)}`;
    assert.deepEqual(readPublicKeys(text).map(({ id }) => id), [a.id, b.id]);
  }); // prettier-ignore

  it("a key that is commented out is none", () => {
    const commented = pem(b).trimEnd().replaceAll(/^/gm, "#");
    assert.deepEqual(readPublicKeys(`${pem(a)}${commented}\n`).map(({ id }) => id), [a.id]);
    assert.throws(() => readPublicKeys(`${pem(a)}#${pem(b)}`), { code: "RIMON_USAGE", message: /neither .* nor a comment/ });
  }); // prettier-ignore

  const bad: readonly (readonly [what: string, text: string, says: RegExp])[] = [
    ["nothing", "", /got no such block/],
    ["comments alone", "# none\n", /got no such block/],
    ["a private key", secret, /got a private key: .*off the nodes/],
    ["a private key beside a public one", pem(b) + secret, /got a private key/],
    ["an encrypted private key", secret.replaceAll("PRIVATE", "ENCRYPTED PRIVATE"), /got a private key/],
    ["RSA", pem({ key: rsa.publicKey }), /got a key of type rsa/],
    ["a certificate", secret.replaceAll("PRIVATE KEY", "CERTIFICATE"), /neither such a block nor a comment/],
    ["a block of garbage", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", /a block that is no key/],
    ["a cut block", pem(a).slice(0, -10), /neither such a block nor a comment/],
    ["a key and other text", `${pem(a)}ssh-ed25519 AAAA`, /neither such a block nor a comment/],
    ["too much", "#".repeat(64 * 1024 + 1), /more than 65536 bytes/],
  ];
  for (const [what, text, says] of bad) {
    it(`refuses ${what}, and quotes nothing of it`, () => {
      assert.throws(
        () => readPublicKeys(text),
        ({ code, message }: Error & { code: string }) => {
          assert.equal(code, "RIMON_USAGE");
          assert.match(message, says);
          assert.doesNotMatch(message, /MC4C|MCow|MII/);
          return true;
        },
      );
    });
  }
});

it("a signature over the bare payload, without its type, is none", () => {
  const envelope = { payloadType: PAYLOAD_TYPE, payload, signatures: [{ keyid: a.id, sig: sign(null, payload, a.privateKey) }] };
  assert.throws(() => verifyEnvelope(envelope, [a], 1), refused("wrong-key"));
}); // prettier-ignore

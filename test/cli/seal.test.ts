import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { PAYLOAD_TYPE, parseEnvelope, readPublicKeys } from "../../src/baselines/dsse.ts";
import { PREDICATE_TYPE, bytesOf, newPair, sealed, statement } from "../baselines/sealed.ts";
import { runCommand } from "../fixtures/command.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { ANSI, jsonLines } from "./commands.ts"; // prettier-ignore

const HOUR_MS = 3_600_000;
const at = (ms: number): string => new Date(Date.now() + ms).toISOString();
/** One that holds now. */
const current = (overrides: object = {}): Buffer =>
  bytesOf(statement({}, { createdAt: at(-HOUR_MS), expires: at(HOUR_MS), ...overrides }));

const folder = temporaryDirectory("seal");
const place = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const seal = (...args: string[]) => runCommand(["seal", ...args]);
const modeOf = (path: string): number => statSync(path).mode & 0o777;

async function keygen(name: string): Promise<{ key: string; pub: string; id: string }> {
  const key = join(folder, name);
  const { code, stdout, stderr } = await seal("keygen", key, "--json");
  assert.deepEqual([code, stderr], [0, ""]);
  return { key, pub: `${key}.pub`, id: String(jsonLines(stdout)[0]?.["keyId"]) };
}

/** No line of the key, which would give it away. */
function tellsNothingOf(key: string, ...outputs: readonly string[]): void {
  const [, secret] = readFileSync(key, "utf8").split("\n");
  assert.ok(secret !== undefined && secret.length > 60);
  for (const output of outputs) assert.ok(!output.includes(secret) && !/PRIVATE/.test(output), output);
}

let one: Awaited<ReturnType<typeof keygen>>;
let two: typeof one;
before(async () => {
  [one, two] = await Promise.all([keygen("one.key"), keygen("two.key")]);
});

describe("seal keygen", { concurrency: 2 }, () => {
  it("a key for its owner alone, its public half for all, its id, and where it belongs", async () => {
    const key = join(folder, "fresh.key");
    const { code, stdout, stderr } = await seal("keygen", key);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual([modeOf(key), modeOf(`${key}.pub`)], [0o600, 0o644 & ~process.umask()]);
    const [pub] = readPublicKeys(readFileSync(`${key}.pub`, "utf8"));
    assert.match(stdout, new RegExp(`^key id +${pub?.id}$`, "m"));
    assert.match(stdout, /^The secret key belongs off the nodes: /m);
    assert.match(readFileSync(key, "utf8"), /^-----BEGIN PRIVATE KEY-----\n/);
    tellsNothingOf(key, stdout);
  });

  it("--json", async () => {
    const key = join(folder, "json.key");
    const { stdout } = await seal("keygen", key, "--json");
    const [pub] = readPublicKeys(readFileSync(`${key}.pub`, "utf8"));
    assert.deepEqual(jsonLines(stdout), [
      { type: "seal", version: 1, act: "keygen", file: key, publicKeyFile: `${key}.pub`, keyId: pub?.id },
    ]);
    tellsNothingOf(key, stdout);
  });

  it("never over a file that is there, nor through a link; and not one key without the other", async () => {
    const there = place("there.key", "mine");
    const pub = place("half.key.pub", "mine");
    const link = join(folder, "link.key");
    symlinkSync(join(folder, "elsewhere"), link);
    for (const [key, taken] of [[there, there], [join(folder, "half.key"), pub], [link, link]] as const) {
      const { code, stdout, stderr } = await seal("keygen", key);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.equal(stderr, `RIMON_USAGE: the key file ${taken} cannot be written: it is there already, and no key is overwritten\n`);
    }
    assert.deepEqual([readFileSync(there, "utf8"), readFileSync(pub, "utf8")], ["mine", "mine"]);
    for (const name of ["there.key.pub", "half.key", "elsewhere", "link.key.pub"]) {
      assert.ok(!existsSync(join(folder, name)), name);
    }
  }); // prettier-ignore

  it("in a folder that is not there: a sentence", async () => {
    const { code, stderr } = await seal("keygen", join(folder, "no", "key"));
    assert.equal(code, 2);
    assert.match(stderr, /^RIMON_USAGE: the key file .*\/no\/key cannot be written: ENOENT.*\n$/);
  });
});

describe("seal sign and seal verify", { concurrency: 2 }, () => {
  it("in place, with a second signature, and what a person is told", async () => {
    const file = place("two.json", current());
    chmodSync(file, 0o640);
    const first = await seal("sign", file, "--key", one.key);
    assert.deepEqual([first.code, first.stderr], [0, ""]);
    assert.match(first.stdout, new RegExp(`^signed  ${file}: 1 signature$`, "m"));
    assert.match(first.stdout, /^counter +7$/m);
    const second = await seal("sign", file, "--key", two.key);
    assert.match(second.stdout, new RegExp(`^signed  ${file}: 2 signatures$`, "m"));
    assert.match(second.stdout, new RegExp(`^key id +${two.id}$`, "m"));
    assert.equal(modeOf(file), 0o640);
    tellsNothingOf(one.key, first.stdout, second.stdout);
    assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith(".tmp")), []);

    const told = await seal("verify", file, "--public-key", one.pub, two.pub, "--threshold", "2");
    assert.deepEqual([told.code, told.stderr], [0, ""]);
    assert.doesNotMatch(told.stdout, ANSI);
    assert.match(told.stdout, new RegExp(`^verified  ${file}: 2 of 2 keys$`, "m"));
    for (const line of [
      `type +${PREDICATE_TYPE}`, "subjects +/usr/sbin/sshd", "counter +7", "made +[\\d-]+T[\\d:.]+Z by rimon 0\\.1\\.0",
      "on +node-7, Linux 6\\.1\\.0-44-amd64, x86_64", `machine +${"ab".repeat(32)}`, "expires +[\\d-]+T[\\d:.]+Z",
      `signed by +${one.id}`, ` +${two.id}`,
    ]) assert.match(told.stdout, new RegExp(`^${line}$`, "m"));
  }); // prettier-ignore

  it("--out leaves the baseline as it was; --json; a key signs once", async () => {
    const content = current();
    const file = place("out.json", content);
    const out = join(folder, "out.dsse.json");
    for (const from of [file, file, out]) {
      const { code, stdout } = await seal("sign", from, "--key", one.key, "--out", out, "--json");
      assert.equal(code, 0);
      const [{ subjects, machine, madeBy, createdAt, expires, ...rest } = {}, ...more] = jsonLines(stdout);
      assert.deepEqual([more, subjects], [[], ["/usr/sbin/sshd"]]);
      assert.ok([machine, madeBy, createdAt, expires].every((value) => value !== undefined));
      assert.deepEqual(rest, { type: "seal", version: 1, act: "sign", file: from, out, keyId: one.id, signatures: 1, predicateType: PREDICATE_TYPE, counter: 7 });
    }
    assert.ok(readFileSync(file).equals(content));
    assert.ok(parseEnvelope(readFileSync(out)).payload.equals(content), "the bytes of the file are what is signed");

    const { code, stdout } = await seal("verify", out, "--public-key", one.pub, "--json");
    const [{ type, version, act, ok, keyIds, counter } = {}] = jsonLines(stdout);
    assert.deepEqual([code, type, version, act, ok, keyIds, counter], [0, "seal", 1, "verify", true, [one.id], 7]);
  }); // prettier-ignore

  it("warns of a key that others may read, on standard error, and signs", async () => {
    const { key } = await keygen("open.key");
    chmodSync(key, 0o644);
    const { code, stdout, stderr } = await seal("sign", place("warned.json", current()), "--key", key, "--json");
    assert.deepEqual([code, jsonLines(stdout).length], [0, 1]);
    assert.equal(stderr, `rimon: others may read the secret key ${key} (mode 0644); chmod 0600 it\n`);
  });

  it("prints nothing of an attacker's that a terminal would obey", async () => {
    const nasty = "\u001b[31mred\u202e\nline";
    const machine = { id: "ab".repeat(32), node: nasty, kernel: nasty, architecture: nasty };
    const value = statement({ subject: [{ name: nasty, digest: { sha256: "00".repeat(32) } }] }, { createdAt: at(0), expires: undefined, machine, madeBy: { rimon: nasty } });
    const file = place("nasty.json", bytesOf(value));
    const outputs = [await seal("sign", file, "--key", one.key), await seal("verify", file, "--public-key", one.pub)];
    for (const { code, stdout } of outputs) {
      assert.equal(code, 0);
      // oxlint-disable-next-line no-control-regex
      assert.doesNotMatch(stdout, /\u001b|\u202e|^line/m);
    }
    assert.match(outputs[1]?.stdout ?? "", /^expires +never$/m);
  }); // prettier-ignore
});

describe("seal sign refuses, and leaves the file as it was", { concurrency: 2 }, () => {
  const unusable: readonly (readonly [what: string, content: string | Uint8Array, says: RegExp])[] = [
    ["nothing", "", /\(not-a-statement\)/],
    ["garbage", "hello", /\(not-a-statement\): .* got 5 bytes/],
    ["a statement without header", bytesOf(statement({ predicate: {} })), /\(wrong-predicate\): counter/],
    ["what has expired", current({ createdAt: at(-2 * HOUR_MS), expires: at(-HOUR_MS) }), /\(expired\)/],
    ["an envelope of something else", sealed(current(), [newPair()], "text/plain"), /\(wrong-type\)/],
    ["an envelope of garbage", sealed(Buffer.from("{}"), [newPair()]), /\(not-a-statement\)/],
    ["a broken envelope", JSON.stringify({ payloadType: PAYLOAD_TYPE }), /\(not-an-envelope\)/],
  ];
  for (const [what, content, says] of unusable) {
    it(what, async () => {
      const file = place(`unusable ${what}`, content);
      const { code, stdout, stderr } = await seal("sign", file, "--key", one.key);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, /^RIMON_USAGE: .* is no baseline to sign .*\n$/);
      assert.match(stderr, says);
      assert.ok(readFileSync(file).equals(Buffer.from(content)));
    });
  }

  it("what is no key, or none to sign with", async () => {
    const file = place("keyless.json", current());
    const encrypted = newPair().privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" });
    for (const key of [one.pub, file, folder, join(folder, "missing"), place("encrypted.key", encrypted)]) {
      const { code, stdout, stderr } = await seal("sign", file, "--key", key);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, /^RIMON_USAGE: .* (?:must be an Ed25519 private key|cannot be read).*\n$/);
      assert.ok(stderr.includes(key), stderr);
    }
  }); // prettier-ignore

  it("a secret key as the baseline, and says nothing of it; a folder as the place for the envelope", async () => {
    const { code, stdout, stderr } = await seal("sign", one.key, "--key", one.key);
    assert.equal(code, 2);
    tellsNothingOf(one.key, stdout, stderr);
    const out = join(folder, "folder");
    mkdirSync(out);
    const refused = await seal("sign", place("placeless.json", current()), "--key", one.key, "--out", out);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /^RIMON_USAGE: the envelope .*\/folder cannot be written: it is a directory\n$/);
  });
});

describe("seal verify: exit code 1, what is wrong and its code", { concurrency: 2 }, () => {
  const outsider = newPair();
  const cases: readonly (readonly [what: string, content: Uint8Array | undefined, code: string])[] = [
    ["missing", undefined, "missing"],
    ["empty", Buffer.alloc(0), "empty"],
    ["not sealed", current(), "not-an-envelope"],
    ["signed by another", sealed(current(), [outsider]), "wrong-key"],
  ];
  for (const [what, content, expected] of cases) {
    it(what, async () => {
      const file = content === undefined ? join(folder, "absent") : place(`verify ${what}`, content);
      const told = await seal("verify", file, "--public-key", one.pub);
      assert.deepEqual([told.code, told.stderr], [1, ""]);
      assert.ok(told.stdout.startsWith(`NOT VERIFIED  ${file}: ${expected}: `), told.stdout);
      const { code, stdout } = await seal("verify", file, "--public-key", one.pub, "--json");
      const [{ message, ...rest } = {}, ...more] = jsonLines(stdout);
      assert.deepEqual([code, more, rest], [1, [], { type: "seal", version: 1, act: "verify", file, ok: false, code: expected }]);
      assert.ok(typeof message === "string" && told.stdout.endsWith(message));
    }); // prettier-ignore
  }

  it("expired, and signed by too few", async () => {
    const pair = newPair();
    const pub = place("pair.pub", pair.key.export({ type: "spki", format: "pem" }));
    const old = place("old", sealed(current({ createdAt: at(-2 * HOUR_MS), expires: at(-HOUR_MS) }), [pair]));
    assert.match((await seal("verify", old, "--public-key", pub)).stdout, /: expired: .*; make a new one and sign it$/);
    const few = place("few", sealed(current(), [pair]));
    const keys = place("keys.pub", readFileSync(pub, "utf8") + readFileSync(one.pub, "utf8"));
    const { code, stdout } = await seal("verify", few, "--public-key", keys, "--threshold", "2");
    assert.deepEqual([code, /: below-threshold: 2 of the 2 /.test(stdout)], [1, true], stdout);
  });
});

describe("seal verify: exit code 2 for wrong usage", { concurrency: 2 }, () => {
  it("a key that is none, secret, or not there; a folder; a threshold that cannot be", async () => {
    const file = place("usage.json", sealed(current(), [newPair()]));
    const cases: readonly (readonly [args: readonly string[], says: RegExp])[] = [
      [[file], /required option '--public-key <files\.\.\.>' not specified/],
      [[file, "--public-key", join(folder, "missing")], /^RIMON_USAGE: .*\/missing cannot be read: ENOENT/],
      [[file, "--public-key", one.key], /^RIMON_USAGE: .*one\.key: .* got a private key/],
      [[file, "--public-key", file], /^RIMON_USAGE: .*usage\.json: .* neither such a block nor a comment/],
      [[folder, "--public-key", one.pub], /^RIMON_USAGE: .* cannot be read: it is not a regular file/],
      [[file, "--public-key", one.pub, one.pub, "--threshold", "2"], /^RIMON_USAGE: --threshold must be at most the number of keys, got 2 for 1/],
      ...["0", "-1", "1.5", "x", ""].map((threshold) =>
        [[file, "--public-key", one.pub, `--threshold=${threshold}`], /--threshold.* expected a whole number of at least 1/] as const),
    ]; // prettier-ignore
    for (const [args, says] of cases) {
      const { code, stdout, stderr } = await seal("verify", ...args);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
      assert.match(stderr, says);
      tellsNothingOf(one.key, stderr);
    }
  });

  it("help says what is not checked", async () => {
    const { stdout } = await seal("verify", "--help");
    assert.match(stdout.replaceAll(/\s+/g, " "), /does not check that the baseline is the newest one, nor that it is of this machine/);
  }); // prettier-ignore
});

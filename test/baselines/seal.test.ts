import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspectSealed, openSealed, SealProblem, type Expectations, type SealCode } from "../../src/baselines/seal.ts";
import { parseHeader, parseStatement, statementBytes } from "../../src/baselines/statement.ts";
import { NOW, PREDICATE_TYPE, bytesOf, header, newPair, sealed, statement } from "./sealed.ts";

const [a, b, stranger] = [newPair(), newPair(), newPair()];
const EXPECTED: Expectations = { keys: [a, b], threshold: 1, predicateType: PREDICATE_TYPE, now: NOW };

const refused = (code: SealCode, message = /\S/) => ({ name: "SealProblem", code, message });
const machine = (overrides: object): object => ({ ...(header()["machine"] as object), ...overrides });

describe("opening a sealed baseline", () => {
  it("gives its statement, its header and who signed it", () => {
    const { statement: found, header: head, keyIds } = openSealed(sealed(bytesOf(statement()), [b]), EXPECTED);
    assert.deepEqual(found, statement());
    const { files: _, ...expected } = header();
    assert.deepEqual(head, expected);
    assert.deepEqual(keyIds, [b.id]);
  });

  it("whose expiry, machine and counter nobody asks for", () => {
    const bytes = sealed(bytesOf(statement({}, { expires: undefined })), [a]);
    assert.equal("expires" in openSealed(bytes, EXPECTED).header, false);
    assert.ok(openSealed(bytes, { ...EXPECTED, now: Date.parse("2126-01-01T00:00:00Z") }));
  });

  const good = bytesOf(statement());
  const times = (createdAt: string, expires?: string): Buffer =>
    sealed(bytesOf(statement({}, { createdAt, expires })), [a]);
  const cases: readonly (readonly [
    what: string,
    bytes: Buffer | undefined,
    expected: Partial<Expectations>,
    code: SealCode | undefined,
    says?: RegExp,
  ])[] = [
    ["none", undefined, {}, "missing", /there is none; make one and sign it/],
    ["of no bytes", Buffer.alloc(0), {}, "empty"],
    ["that is not sealed", good, {}, "not-an-envelope"],
    ["of another payload type", sealed(good, [a], "application/json"), {}, "wrong-type"],
    ["signed by a stranger", sealed(good, [stranger]), {}, "wrong-key", /changed after it was signed, or another key/],
    ["signed by a stranger too", sealed(good, [stranger, a]), {}, undefined],
    ["signed by one of two", sealed(good, [a]), { threshold: 2 }, "below-threshold"],
    ["signed by one and a stranger of two", sealed(good, [a, stranger]), { threshold: 2 }, "below-threshold"],
    ["signed by both", sealed(good, [b, a]), { threshold: 2 }, undefined],
    ["of signed garbage", sealed(Buffer.from([0xff]), [a]), {}, "not-a-statement"],
    ["of an unknown statement", sealed(bytesOf(statement({ _type: "https://in-toto.io/Statement/v2" })), [a]), {}, "not-a-statement"],
    ["of another kind", sealed(good, [a]), { predicateType: "https://rimon.dev/other/v1" }, "wrong-predicate", /other\/v1" was expected, got ".*test-baseline/],
    ["without a header", sealed(bytesOf(statement({ predicate: {} })), [a]), {}, "wrong-predicate", /counter of a baseline .* got nothing/],
    ["of another machine", sealed(good, [a]), { machineId: "cd".repeat(32) }, "other-machine", /cdcd was expected, got one of abab.*"node-7"/],
    ["of this machine", sealed(good, [a]), { machineId: "ab".repeat(32) }, undefined],
    ["older than the last", sealed(good, [a]), { lastCounter: 8 }, "rolled-back", /at least 8, .* got 7/],
    ["that was the last", sealed(good, [a]), { lastCounter: 7 }, undefined],
    ["newer than the last", sealed(good, [a]), { lastCounter: 6 }, undefined],
    ["with a last counter that is no number", sealed(good, [a]), { lastCounter: Number.NaN }, "rolled-back"],
    ["a millisecond before its expiry", times("2026-01-01T00:00:00Z", "2026-06-01T12:00:00.001Z"), {}, undefined],
    ["at its expiry", times("2026-01-01T00:00:00Z", "2026-06-01T12:00:00Z"), {}, "expired", /one that expired 2026-06-01T12:00:00Z; make a new one/],
    ["made five minutes ahead", times("2026-06-01T12:05:00Z"), {}, undefined],
    ["made more than five minutes ahead", times("2026-06-01T12:05:00.001Z"), {}, "not-yet", /set the clock/],
  ]; // prettier-ignore
  for (const [what, bytes, expected, code, says] of cases) {
    it(`${what}: ${code ?? "opens"}`, () => {
      const open = (): unknown => openSealed(bytes, { ...EXPECTED, ...expected });
      if (code === undefined) open();
      else assert.throws(open, refused(code, says));
    });
  }

  it("at a time that is no number: refused, whatever is asked", () => {
    const bytes = sealed(bytesOf(statement()), [a]);
    assert.throws(() => openSealed(bytes, { ...EXPECTED, now: Number.NaN }));
  });

  it("a lower threshold than one key or more than there are is a mistake and no baseline", () => {
    const bytes = sealed(bytesOf(statement()), [a]);
    for (const threshold of [0, 3]) {
      assert.throws(() => openSealed(bytes, { ...EXPECTED, threshold }), { code: "RIMON_USAGE" });
    }
  });

  it("for a person to look at: of any kind, counter and machine, and still signed and in time", () => {
    const bytes = sealed(bytesOf(statement({ predicateType: "urn:other" })), [a]);
    assert.equal(inspectSealed(bytes, EXPECTED).statement.predicateType, "urn:other");
    const late = { ...EXPECTED, now: Date.parse("2027-01-01T00:00:00Z") };
    assert.throws(() => inspectSealed(bytes, late), refused("expired"));
    assert.throws(() => inspectSealed(bytes, { ...EXPECTED, keys: [stranger] }), refused("wrong-key"));
    assert.throws(() => inspectSealed(undefined, EXPECTED), refused("missing"));
  });
});

describe("a changed envelope is refused, or says what was signed", () => {
  const bytes = sealed(bytesOf(statement()), [a]);
  const whole = openSealed(bytes, EXPECTED);

  /** Whether it opened. */
  function opens(changed: Buffer): boolean {
    try {
      assert.deepEqual(openSealed(changed, EXPECTED), whole);
      return true;
    } catch (thrown) {
      if (thrown instanceof SealProblem) return false;
      throw thrown;
    }
  }

  it("whichever byte is another one", () => {
    const unseen = new Set<string>();
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [0x01, 0x04, 0x20, 0x80]) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ mask;
        if (opens(changed)) unseen.add(bytes.toString("latin1", at, at + 1));
      }
    }
    // The hint may say anything, and under another name there is none; the line may end otherwise.
    const ignored = new Set(`keyid${a.id}\n`);
    assert.deepEqual([...unseen].filter((byte) => !ignored.has(byte)), []);
  }); // prettier-ignore

  it("wherever it is cut", () => {
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(opens(bytes.subarray(0, length)), length === bytes.length - 1, `cut at ${length}`);
    }
  });

  it("with whitespace around it", () => {
    assert.ok(opens(Buffer.concat([Buffer.from("\n \t"), bytes, Buffer.from("\r\n")])));
    assert.ok(!opens(Buffer.concat([bytes, bytes])));
  });

  it("also of two signatures, of which one is asked for", () => {
    const both = sealed(bytesOf(statement()), [a, b]);
    for (let at = 0; at < both.length; at++) {
      const changed = Buffer.from(both);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      try {
        assert.deepEqual(openSealed(changed, EXPECTED).statement, whole.statement);
      } catch (thrown) {
        if (!(thrown instanceof SealProblem)) throw thrown;
      }
    }
  });
});

describe("statements", () => {
  const subject = { name: "sshd", digest: { sha256: "01".repeat(32) } };

  it("are read back as they were written, without what is not known", () => {
    const found = parseStatement(bytesOf(statement()));
    assert.deepEqual(parseStatement(statementBytes(found)), found);
    const more = { ...subject, uri: "file:/x", digest: { ...subject.digest, sha512: "x", gitCommit: 1 } };
    assert.deepEqual(parseStatement(bytesOf({ ...statement({ subject: [more] }), more: 1 })).subject, [subject]);
  });

  const bad: readonly (readonly [what: string, value: unknown, says: RegExp])[] = [
    ["an array", [], /must be a JSON object, got an array/],
    ["no _type", statement({ _type: undefined }), /_type must be "https:\/\/in-toto\.io\/Statement\/v1", got nothing/],
    ["a _type with a slash more", statement({ _type: "https://in-toto.io/Statement/v1/" }), /got "https:\/\/in-toto/],
    ["no subject", statement({ subject: undefined }), /subject must be an array, got nothing/],
    ["one subject", statement({ subject }), /subject must be an array, got an object/],
    ["empty subjects", statement({ subject: [] }), /at least one/],
    ["null for a subject", statement({ subject: [null] }), /subject\[0\] must be an object, got null/],
    ["a subject without name", statement({ subject: [{ ...subject, name: undefined }] }), /subject\[0\]\.name .* got nothing/],
    ["a subject with an empty name", statement({ subject: [{ ...subject, name: "" }] }), /got an empty string/],
    ["a subject without end", statement({ subject: [{ ...subject, name: "x".repeat(4097) }] }), /4096 characters, got "x{100}…"$/],
    ["two subjects of one name", statement({ subject: [subject, subject] }), /subject\[1\]\.name must be of one subject only, got "sshd"/],
    ["a subject without digest", statement({ subject: [{ name: "x" }] }), /digest must be an object, got nothing/],
    ["a digest of another algorithm", statement({ subject: [{ name: "x", digest: { sha512: "00" } }] }), /sha256 .* got nothing/],
    ["a digest in upper case", statement({ subject: [{ name: "x", digest: { sha256: "AB".repeat(32) } }] }), /lower-case/],
    ["a digest that is too short", statement({ subject: [{ name: "x", digest: { sha256: "ab" } }] }), /64 lower-case/],
    ["a digest with a line end", statement({ subject: [{ name: "x", digest: { sha256: `${"ab".repeat(32)}\n` } }] }), /64 lower-case/],
    ["no predicateType", statement({ predicateType: undefined }), /predicateType must be a URI, got nothing/],
    ["an empty predicateType", statement({ predicateType: "" }), /got an empty string/],
    ["a predicateType that is a word", statement({ predicateType: "baseline" }), /must be a URI, got "baseline"/],
    ["a predicateType with a space", statement({ predicateType: "https://a b" }), /must be a URI/],
    ["no predicate", statement({ predicate: undefined }), /predicate must be an object, got nothing/],
    ["an array for predicate", statement({ predicate: [] }), /got an array/],
    ["null for predicate", statement({ predicate: null }), /got null/],
  ]; // prettier-ignore
  for (const [what, value, says] of bad) {
    it(`refuses ${what}`, () => assert.throws(() => parseStatement(bytesOf(value)), refused("not-a-statement", says)));
  }

  it("refuses bytes that are no UTF-8", () => {
    const bytes = bytesOf(statement());
    bytes[bytes.indexOf("sshd")] = 0xe9;
    assert.throws(() => parseStatement(bytes), refused("not-a-statement", /JSON in UTF-8/));
  });
});

describe("headers", () => {
  it("tolerate what is not theirs", () => {
    const { expires: _, ...found } = parseHeader(header({ machine: machine({ more: 1 }), expires: undefined, more: 1 }));
    assert.deepEqual(found.machine, header()["machine"]);
    assert.deepEqual(Object.keys(found).toSorted(), ["counter", "createdAt", "machine", "madeBy"]);
  }); // prettier-ignore

  const times = ["2026-02-28T23:59:59Z", "2028-02-29T00:00:00Z", "2026-06-01T11:00:00.123456789Z"];
  for (const createdAt of times) {
    it(`take ${createdAt}`, () => {
      assert.equal(parseHeader(header({ createdAt, expires: undefined })).createdAt, createdAt);
    });
  }

  const bad: readonly (readonly [fields: Readonly<Record<string, unknown>>, says: RegExp])[] = [
    ...[0, -1, 1.5, 2 ** 53, "7", null, undefined].map((counter) => [{ counter }, /^counter of a baseline must/] as const),
    ...["2026-02-30T00:00:00Z", "2026-06-01T24:00:00Z", "2026-06-01T11:00:60Z", "2026-06-01", "2026-06-01T11:00:00+00:00", "2026-06-01T11:00:00", " 2026-06-01T11:00:00Z", "+002026-06-01T11:00:00Z", 1, null, undefined]
      .map((createdAt) => [{ createdAt }, /createdAt must be a time in UTC/] as const),
    ...["2026-06-01T11:00:00Z", "2026-05-01T11:00:00Z", "never", "", null, 0]
      .map((expires) => [{ expires }, /expires must be a time in UTC after createdAt/] as const),
    ...[undefined, null, "rimon", []].map((madeBy) => [{ madeBy }, /madeBy must be an object/] as const),
    ...[undefined, null, "", 1].map((rimon) => [{ madeBy: { rimon } }, /madeBy\.rimon must be a text/] as const),
    [{ machine: "node-7" }, /machine must be an object, got "node-7"/],
    ...[undefined, "", "AB".repeat(32), "ab", 1].map((id) => [{ machine: machine({ id }) }, /machine\.id must be 64/] as const),
    ...["node", "kernel", "architecture"].flatMap((name) =>
      [undefined, "", 6.1, {}].map((value) => [{ machine: machine({ [name]: value }) }, new RegExp(`machine\\.${name} must`)] as const)),
  ]; // prettier-ignore
  for (const [fields, says] of bad) {
    it(`refuse ${JSON.stringify(fields)}`, () => {
      assert.throws(() => parseHeader(header(fields)), refused("wrong-predicate", says));
    });
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PAYLOAD_TYPE, readPublicKeys } from "../../src/baselines/dsse.ts";
import { SealProblem, openSealed, type Opened } from "../../src/baselines/seal.ts";
import { RimonError } from "../../src/errors.ts";
import { NOW, PREDICATE_TYPE, bytesOf, header, newPair, sealed, statement } from "../baselines/sealed.ts";

const [a, b] = [newPair(), newPair()];

/** What the bytes open to; undefined if they are refused as they should be. */
function opened(bytes: Uint8Array, threshold = 1): Opened | undefined {
  try {
    return openSealed(bytes, { keys: [a, b], threshold, predicateType: PREDICATE_TYPE, now: NOW });
  } catch (thrown) {
    if (!(thrown instanceof SealProblem)) throw thrown;
    assert.match(thrown.message, /\S/);
    assert.doesNotMatch(thrown.message, /\n/);
    return undefined;
  }
}

test("arbitrary bytes, text and JSON are refused with a reason", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 2048 }),
    fc.oneof(fc.json(), fc.string()).map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(bytes, (content) => assert.equal(opened(content), undefined)),
    { numRuns: 2000 },
  );
});

test("an object like an envelope is refused with a reason", () => {
  const field = fc.oneof(fc.jsonValue(), fc.string(), fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("base64"))); // prettier-ignore
  const envelope = fc.record(
    {
      payload: fc.oneof(field, fc.constant(bytesOf(statement()).toString("base64"))),
      payloadType: fc.oneof(field, fc.constant(PAYLOAD_TYPE)),
      signatures: fc.oneof(
        field,
        fc.array(fc.record({ keyid: fc.oneof(field, fc.constant(a.id)), sig: field }, { requiredKeys: [] })),
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(envelope, (value) => assert.equal(opened(Buffer.from(JSON.stringify(value))), undefined)),
    { numRuns: 2000 },
  );
});

test("an envelope with any stretch of bytes replaced is refused or says what was signed", () => {
  const good = sealed(bytesOf(statement()), [a, b]);
  const whole = opened(good, 2);
  assert.ok(whole !== undefined);
  fc.assert(
    fc.property(
      fc.nat({ max: good.length }),
      fc.nat({ max: 200 }),
      fc.oneof(
        fc.uint8Array({ maxLength: 100 }),
        fc.nat({ max: good.length }).map((at) => good.subarray(at, at + 100)),
        fc.constantFrom(...["", " ", "\n", "{", "}", "[]", '"', ",", "null", "\\u0000"].map((text) => Buffer.from(text))),
      ),
      fc.constantFrom(1, 2),
      (at, removed, inserted, threshold) => {
        const found = opened(Buffer.concat([good.subarray(0, at), inserted, good.subarray(at + removed)]), threshold);
        if (found !== undefined) assert.deepEqual([found.statement, found.header], [whole.statement, whole.header]);
      },
    ),
    { numRuns: 3000 },
  );
}); // prettier-ignore

test("whatever is signed is a baseline or refused with a reason", () => {
  const some = (good: unknown): fc.Arbitrary<unknown> => fc.oneof(fc.constant(good), fc.jsonValue(), fc.constant(null));
  const fieldsOf = (good: object): fc.Arbitrary<object> =>
    fc.record(Object.fromEntries(Object.entries(good).map(([name, value]) => [name, some(value)])), { requiredKeys: [] });
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.jsonValue().map(bytesOf),
    fieldsOf(statement()).map(bytesOf),
    fieldsOf(header()).map((predicate) => bytesOf(statement({ predicate }))),
    fieldsOf(header()["machine"] as object).map((machine) => bytesOf(statement({}, { machine }))),
  );
  fc.assert(
    fc.property(payload, (bytes) => {
      const found = opened(sealed(bytes, [a]));
      if (found === undefined) return;
      assert.ok(found.header.counter >= 1 && found.statement.subject.length >= 1);
      assert.deepEqual(found.keyIds, [a.id]);
    }),
    { numRuns: 2000 },
  );
}); // prettier-ignore

test("any text is public keys or a RIMON_USAGE error", () => {
  const pem = a.key.export({ type: "spki", format: "pem" }).toString();
  const edited = fc
    .tuple(fc.nat({ max: pem.length }), fc.nat({ max: 30 }), fc.string({ maxLength: 30 }))
    .map(([at, removed, inserted]) => pem.slice(0, at) + inserted + pem.slice(at + removed));
  fc.assert(
    fc.property(fc.oneof(fc.string(), edited, fc.array(edited).map((texts) => texts.join(""))), (text) => {
      try {
        assert.ok(readPublicKeys(text).length > 0);
      } catch (thrown) {
        if (!(thrown instanceof RimonError)) throw thrown;
        assert.equal(thrown.code, "RIMON_USAGE");
      }
    }),
    { numRuns: 2000 },
  );
}); // prettier-ignore

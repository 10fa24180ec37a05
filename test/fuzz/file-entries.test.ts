import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { attributeOf } from "../../src/baselines/files/compare.ts";
import { differenceOf, sayDifference } from "../../src/baselines/files/difference.ts";
import { ATTRIBUTES } from "../../src/baselines/files/rules.ts";
import { parseFileStatement, fileStatement, FILE_BASELINE } from "../../src/baselines/files/statement.ts";
import { SealProblem } from "../../src/baselines/seal.ts";
import { parseHeader, parseStatement, statementBytes } from "../../src/baselines/statement.ts";
import { EntryReader } from "../../src/files/entry-reader.ts";
import { entryOf } from "../../src/files/scan.ts";
import { header } from "../baselines/sealed.ts";
import { entry, xattr, type Hand } from "../files/entries.ts";

const path = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const hand: fc.Arbitrary<Hand> = fc.record({
  path,
  mode: fc.nat(0o177777),
  have: fc.nat(31),
  error: fc.nat(65535),
  flags: fc.nat(),
  notes: fc.nat(63),
  rule: fc.nat(3),
  target: fc.string({ maxLength: 9 }),
  ctimeNs: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
  xattrs: fc
    .array(
      fc.tuple(
        fc.constantFrom("security.capability", "system.posix_acl_access", "user.x"),
        fc.uint8Array({ maxLength: 40 }),
        fc.boolean(),
      ),
      { maxLength: 3 },
    )
    .map((each) => Buffer.concat(each.map(([name, value, hashed]) => xattr(name, Buffer.from(value), hashed)))),
});

async function* inPieces(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer, void, void> {
  let from = 0;
  for (const cut of [...cuts.map((each) => each % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]) {
    yield bytes.subarray(from, cut);
    from = cut;
  }
}

async function readAll(bytes: Buffer, cuts: readonly number[]): Promise<Buffer[]> {
  const reader = new EntryReader(inPieces(bytes, cuts));
  const found: Buffer[] = [];
  for (await reader.fill(); !reader.done; reader.dry ? await reader.fill() : undefined) {
    found.push(reader.copy());
    reader.step();
  }
  return found;
}

test("entries are read as they were written, however they are cut", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hand, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 6 }), async (hands, cuts) => {
      const entries = hands.map(entry);
      assert.deepEqual(await readAll(Buffer.concat(entries), cuts), entries);
    }),
    { numRuns: 500 },
  );
});

test("whatever the bytes are, they are entries that can be told, or refused with a reason", async () => {
  const mutated = fc
    .tuple(
      fc.array(hand, { minLength: 1, maxLength: 3 }),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }),
      fc.option(fc.nat()),
    )
    .map(([hands, flips, cut]) => {
      const bytes = Buffer.concat(hands.map(entry));
      for (const [at, value] of flips) bytes[at % bytes.length] = value;
      return cut === null ? bytes : bytes.subarray(0, cut % bytes.length);
    });
  const bytes = fc.oneof(
    mutated,
    fc.uint8Array({ maxLength: 400 }).map((each) => Buffer.from(each)),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (content) => {
      try {
        for (const found of await readAll(content, [])) {
          const decoded = entryOf(found);
          for (const attribute of ATTRIBUTES) attributeOf(decoded, attribute);
          const difference = differenceOf(decoded, undefined, []);
          assert.ok(difference !== undefined && sayDifference(difference) !== "");
        }
      } catch (thrown) {
        if (!(thrown instanceof SealProblem)) throw thrown;
        assert.equal(thrown.code, "wrong-entries");
      }
    }),
    { numRuns: 5_000 },
  );
});

test("whatever the predicate is, it is a baseline of files or refused with a reason", () => {
  const good = {
    roots: ["/usr"],
    rules: [],
    crossFilesystems: false,
    maxBytes: 1,
    entries: { format: "rimon-file-entries-v1", bytes: 1, count: 1 },
  };
  const predicate = fc.record(
    Object.fromEntries(
      Object.entries(good).map(([name, value]) => [name, fc.oneof(fc.jsonValue(), fc.constant<unknown>(value))]),
    ) as Record<string, fc.Arbitrary<unknown>>,
  );
  const name = fc.oneof(fc.string(), fc.constantFrom("..", ".", "a/b", "/etc/passwd", "good.entries"));
  fc.assert(
    fc.property(predicate, name, (fields, subject) => {
      try {
        const statement = {
          _type: "https://in-toto.io/Statement/v1" as const,
          subject: [{ name: subject, digest: { sha256: "00".repeat(32) } }],
          predicateType: FILE_BASELINE,
          predicate: fields,
        };
        const parsed = parseFileStatement(statement);
        assert.ok(!parsed.entries.name.includes("/") && parsed.entries.name !== "..");
        const made = fileStatement(parseHeader(header()), parsed);
        assert.deepEqual(parseFileStatement(parseStatement(statementBytes(made))), parsed);
      } catch (thrown) {
        if (!(thrown instanceof SealProblem)) throw thrown;
        assert.match(thrown.message, /\S/);
      }
    }),
    { numRuns: 2_000 },
  );
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RimonError } from "../src/errors.ts";
import { decodeRecords } from "../src/records.ts";
import {
  codePageRecord,
  CODE_RUN,
  GOLDEN,
  MAPPING,
  processRecord,
  record,
  u16,
  u32,
  u64,
} from "./fixtures/golden-records.ts";

for (const { what, bytes, records } of GOLDEN) {
  test(`decodes ${what}`, () => assert.deepEqual(decodeRecords(bytes), records));
}

test("decodes a batch at any place of a larger buffer", () => {
  const batch = Buffer.concat(GOLDEN.map(({ bytes }) => bytes));
  const records = GOLDEN.flatMap((golden) => golden.records);
  assert.deepEqual(decodeRecords(batch), records);
  assert.deepEqual(decodeRecords(Buffer.concat([Buffer.from([1, 2, 3]), batch]).subarray(3)), records);
  assert.deepEqual(decodeRecords(Buffer.alloc(0)), []);
});

for (const [what, bytes, message] of [
  ["a head that is cut", Buffer.alloc(7), /7 bytes where a record's head/],
  ["zeros", Buffer.alloc(64), /unknown kind 0/],
  ["a kind of the future", record(99, [u64(0)]), /unknown kind 99/],
  ["a record that is cut", processRecord(0).subarray(0, 136), /144 bytes, expected 144 to 136/],
  ["a record too short for its kind", record(1, [u64(0)]), /expected 144/],
  [
    "a string longer than its record",
    record(5, [u64(1), u64(1), u32(0), u32(7), u16(9), u16(0), u32(0)]),
    /strings are longer/,
  ],
  ["an unknown event", record(3, [u64(0), ...[99, 0, 0, 0, 0, 0].map(u32)]), /process event, number 99/],
  ["mappings that do not come", record(8, [u64(1), u64(7), u32(42), u32(1)]), /0 mappings of process 42 where 1/],
  ["a mapping of nobody", MAPPING, /kind 9 where one may begin/],
  [
    "pages of code that do not come",
    record(16, [u64(1), u32(42), u32(4096), u32(1), u32(0), u32(0), u32(0)]),
    /0 pages of code of process 42 where 1/,
  ],
  [
    "changes that do not come",
    Buffer.concat([record(16, [u64(1), u32(42), u32(4096), u32(1), u32(0), u32(0), u32(0)]), codePageRecord(1, 1, 1)]),
    /0 changes of a page of code where 1/,
  ],
  ["a change of no page", CODE_RUN, /kind 18 where one may begin/],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(() => decodeRecords(bytes), { code: "RIMON_NATIVE", message });
  });
}

test("any bytes either decode or are refused", () => {
  const batch = Buffer.concat(GOLDEN.map(({ bytes }) => bytes));
  const survives = (bytes: Buffer) => {
    try {
      decodeRecords(bytes);
    } catch (thrown) {
      assert.ok(thrown instanceof RimonError && thrown.code === "RIMON_NATIVE", String(thrown));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => survives(Buffer.from(bytes))));
  const change = fc.tuple(fc.nat(batch.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(batch.length), (changes, cut) => {
      const bytes = Buffer.from(batch);
      for (const [at, value] of changes) bytes[at] = value;
      survives(bytes);
      survives(bytes.subarray(0, cut));
    }),
    { numRuns: 2000 },
  );
});

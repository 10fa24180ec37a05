import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createIdentifiers } from "../src/identifier.ts";

const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

test("identifiers begin with their time", () => {
  // The example of the ULID specification.
  assert.equal(createIdentifiers()(1_469_918_176_385).slice(0, 10), "01ARYZ6S41");
});

test("identifiers only ever grow, whatever the clock does", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -1e6, max: 2 ** 47, noNaN: true }), { maxLength: 50 }), (times) => {
      const newId = createIdentifiers();
      const ids = times.map(newId);
      assert.deepEqual(ids, ids.toSorted());
      assert.equal(new Set(ids).size, ids.length);
      for (const id of ids) assert.match(id, ULID);
    }),
  );
});

test("identifiers grow within one millisecond even from the greatest randomness", () => {
  const newId = createIdentifiers(() => new Uint8Array(16).fill(255));
  const ids = Array.from({ length: 1000 }, () => newId(5));
  assert.deepEqual(ids, ids.toSorted());
  assert.equal(new Set(ids).size, ids.length);
});

test("the same randomness gives the same identifiers", () => {
  const [a, b] = [createIdentifiers(() => new Uint8Array(16)), createIdentifiers(() => new Uint8Array(16))];
  for (const at of [5, 5, 3, 9]) assert.equal(a(at), b(at));
});

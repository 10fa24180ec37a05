import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { requireAddon } from "../../src/native.ts";
import { createMarkSearch as createSearch, type MarkSearch } from "../../src/sensors/marks.ts";

const { addon } = requireAddon();
const createMarkSearch = (marks: readonly Buffer[]): MarkSearch => createSearch(addon, marks);
const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

for (const { what, marks, text, found } of [
  { what: "nothing", marks: ["GNU gdb", "strace.io"], text: "GNU gd strace.i", found: [] },
  { what: "at the beginning and at the end", marks: ["ab", "bcd"], text: "ab..bcd", found: [0, 1] },
  { what: "two that overlap", marks: ["aab", "aba"], text: "aaba", found: [0, 1] },
  { what: "one within another", marks: ["abcdef", "cd"], text: "..abcdef", found: [0, 1] },
  { what: "two with one beginning", marks: ["abcx", "abcy"], text: "abcy", found: [1] },
  { what: "a longer one that is cut", marks: ["abcdefgh", "ab"], text: "xxabcdefg", found: [1] },
  { what: "one twice", marks: ["ab"], text: "abab", found: [0] },
  { what: "bytes that are no text", marks: ["\xff\x00\xff"], text: "\x00\xff\x00\xff", found: [0] },
  { what: "an empty piece", marks: ["ab"], text: "", found: [] },
])
  test(`finds ${what}`, () => {
    assert.deepEqual(createMarkSearch(marks.map(bytes)).in(bytes(text)), found);
  });

test("finds what includes() finds, in pieces too", () => {
  // Few letters, so that much of what is not there nearly is.
  const text = (minLength: number, maxLength: number) =>
    fc.array(fc.constantFrom(97, 98, 99), { minLength, maxLength }).map((each) => Buffer.from(each));
  fc.assert(
    fc.property(fc.array(text(2, 6), { minLength: 1, maxLength: 6 }), text(0, 300), fc.nat(60), (marks, all, more) => {
      const search = createMarkSearch(marks);
      const expected = marks.flatMap((mark, index) => (all.includes(mark) ? [index] : []));
      assert.deepEqual(search.in(all), expected);
      const found = new Set<number>();
      for (let at = 0; at === 0 || at + search.overlap < all.length; at += 1 + more)
        for (const index of search.in(all.subarray(at, at + 1 + more + search.overlap))) found.add(index);
      assert.deepEqual([...found].sort(), expected);
    }),
    { numRuns: 3_000 },
  );
});

test("marks longer than a skip can say are found as well", () => {
  const mark = Buffer.alloc(400, "abcdefg");
  assert.deepEqual(createMarkSearch([mark]).in(Buffer.concat([Buffer.alloc(777, "x"), mark])), [0]);
});

test("a mark of one byte is refused, and none", () => {
  assert.throws(() => createMarkSearch([bytes("a")]), /at least two bytes, got one of 1/);
  assert.throws(() => createMarkSearch([]), /at least one mark/);
});

test("as many as there may be are told apart, and more are refused, as is what is no list of bytes", () => {
  const marks = Array.from({ length: 64 }, (_, index) => bytes(`mark ${index}.`));
  assert.deepEqual(addon.findMarks(Buffer.concat(marks), marks), [...marks.keys()]);
  assert.deepEqual(addon.findMarks(bytes("mark 63. mark 0. mark 31."), marks), [0, 31, 63]);
  for (const wrong of [[...marks, bytes("one more")], [], [bytes("a")], [bytes("")]])
    assert.throws(() => addon.findMarks(bytes("text"), wrong), { code: "EINVAL" });
  assert.throws(() => addon.findMarks(bytes("text"), ["text"] as unknown as Buffer[]), /mark must be a Buffer/);
  assert.throws(() => addon.findMarks(bytes("text"), "text" as unknown as Buffer[]), /marks must be an array/);
  assert.throws(() => addon.findMarks("text" as unknown as Buffer, marks), /bytes must be a Buffer/);
});

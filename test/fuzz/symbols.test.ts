import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { isRelocated, isWrittenByProgram, readCodeFile } from "../../src/function-map/code-file.ts";
import { MAX_PLACES, readPlaces } from "../../src/function-map/symbols.ts";
import { compile } from "../fixtures/compile.ts";

/** Not stripped, so that every table is there. */
const target = readFileSync(compile("target"));
const OFFSETS = Array.from({ length: MAX_PLACES + 8 }, (_, index) => 0x1000 + index * 97);

/** Reads as a file would, and keeps count. */
async function survives(bytes: Buffer): Promise<void> {
  let reads = 0;
  const read = async (position: number, length: number): Promise<Buffer> => {
    reads++;
    assert.ok(length >= 0 && Number.isInteger(length), `asked for ${length} bytes`);
    assert.ok(position >= 0 && Number.isSafeInteger(position), `asked for bytes at ${position}`);
    return bytes.subarray(position, position + length);
  };
  const code = await readCodeFile(read);
  if (code === undefined) return;
  const places = await readPlaces(code, read, OFFSETS);
  assert.ok(places.size <= MAX_PLACES);
  // Eight names of each place, a section, and the tables.
  assert.ok(reads <= MAX_PLACES * 9 + 32, `${reads} reads`);
  for (const { name, offset } of places.values()) assert.ok(name.length <= 512 && offset >= 0);
  for (const offset of OFFSETS) {
    isWrittenByProgram(code, { offset, size: 4096 }, offset % 2 === 0);
    isRelocated(code, { offset, length: 40, found: "00".repeat(32), expected: "01".repeat(32) });
  }
}

const value = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 1n, 2n, 4n, 7n, 8n, 22n, 30n, 2n ** 31n, 2n ** 53n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: BigInt(target.length) }),
);

async function replacedWithin(start: number, size: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(Math.max(0, Math.floor(size / 8) - 1)), value), { minLength: 1, maxLength: 4 }),
      async (replaced) => {
        const copy = Buffer.from(target);
        for (const [entry, by] of replaced) copy.writeBigUInt64LE(by, start + entry * 8);
        await survives(copy);
      },
    ),
    { numRuns: 200 },
  );
}

const count = (at: number): number => target.readUInt16LE(at);
const tables = {
  "its header and its segments": [0, 64 + 56 * count(56)],
  "its sections": [Number(target.readBigUInt64LE(40)), 64 * count(60)],
} as const;

for (const [what, [start, size]] of Object.entries(tables))
  test(`ELF files with values of ${what} replaced never throw`, () => replacedWithin(start, size));

for (const type of [2, 6, 11]) {
  test(`ELF files with values of their section of type ${type} replaced never throw`, async () => {
    const sections = Number(target.readBigUInt64LE(40));
    const headers = Array.from({ length: count(60) }, (_, index) => sections + index * 64);
    const at = headers.find((header) => target.readUInt32LE(header + 4) === type);
    assert.ok(at !== undefined, "the target has one");
    await replacedWithin(Number(target.readBigUInt64LE(at + 24)), Number(target.readBigUInt64LE(at + 32)));
  });
}

test("ELF files with bytes of their headers changed never throw", async () => {
  const change = fc.record({ at: fc.nat(64 + 56 * 13), by: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
      const copy = Buffer.from(target);
      for (const { at, by } of changes) copy[at] = by;
      await survives(copy);
    }),
    { numRuns: 300 },
  );
});

test("ELF files cut anywhere, and as if of 32 bits, never throw", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(target.length), fc.boolean(), async (length, narrow) => {
      const copy = Buffer.from(target.subarray(0, length));
      if (narrow && length > 4) copy[4] = 1;
      await survives(copy);
    }),
    { numRuns: 200 },
  );
});

test("random bytes behind the right magic never throw", async () => {
  for (const bits of [1, 2]) {
    const magic = Buffer.from([0x7f, 0x45, 0x4c, 0x46, bits, 1, 1]);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => survives(Buffer.concat([magic, bytes]))),
      { numRuns: 300 },
    );
  }
});

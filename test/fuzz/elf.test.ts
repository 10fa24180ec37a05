import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { readDynamicView } from "../../src/function-map/elf.ts";

/** More than any header of a real file asks for; the bound of the reader's own tables. */
const MAX_READ = 40 * 1024 * 1024;
const WANTED = ["ptrace", "process_vm_readv", "malloc"];
const strace = readFileSync("/usr/bin/strace");

/** Reads as a file would, and keeps count. */
async function viewOf(bytes: Buffer): Promise<void> {
  let reads = 0;
  let asked = 0;
  const view = await readDynamicView(async (position, length) => {
    reads++;
    asked += length;
    assert.ok(length >= 0 && Number.isInteger(length), `asked for ${length} bytes`);
    assert.ok(position >= 0, `asked for bytes at ${position}`);
    return bytes.subarray(position, position + length);
  });
  assert.ok(reads <= 8, `${reads} reads`);
  assert.ok(asked <= MAX_READ, `${asked} bytes were asked for`);
  if (view === undefined) return;
  assert.ok(view.imports.length <= 262_144 && view.needed.length <= 4_096);
  // Whether all are asked for or only some.
  const few = await readDynamicView(async (position, length) => bytes.subarray(position, position + length), WANTED);
  assert.deepEqual(few, { ...view, imports: view.imports.filter((name) => WANTED.includes(name)) });
}

test("ELF files with bytes of their headers changed never throw", async () => {
  const change = fc.record({ at: fc.nat(64 + 56 * 13), by: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
      const copy = Buffer.from(strace);
      for (const { at, by } of changes) copy[at] = by;
      await viewOf(copy);
    }),
    { numRuns: 300 },
  );
});

test("ELF files with values of their dynamic section replaced never throw", async () => {
  const count = strace.readUInt16LE(56);
  const headers = Array.from({ length: count }, (_, index) => 64 + index * 56);
  const dynamic = headers.find((at) => strace.readUInt32LE(at) === 2);
  assert.ok(dynamic !== undefined, "strace is linked dynamically");
  const start = Number(strace.readBigUInt64LE(dynamic + 8));
  const entries = Number(strace.readBigUInt64LE(dynamic + 32)) / 8;
  const value = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.constantFrom(0n, 1n, 4n, 5n, 6n, 10n, 0x6ffffef5n, 2n ** 53n, 2n ** 64n - 1n),
    fc.bigInt({ min: 0n, max: BigInt(strace.length) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(entries - 1), value), { minLength: 1, maxLength: 4 }),
      async (replaced) => {
        const copy = Buffer.from(strace);
        for (const [entry, by] of replaced) copy.writeBigUInt64LE(by, start + entry * 8);
        await viewOf(copy);
      },
    ),
    { numRuns: 300 },
  );
});

test("ELF files cut anywhere never throw", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(strace.length), async (length) => viewOf(strace.subarray(0, length))),
    { numRuns: 200 },
  );
});

test("random bytes behind the right magic never throw", async () => {
  const magic = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => viewOf(Buffer.concat([magic, bytes]))),
    { numRuns: 500 },
  );
});

// What C hands on of two runs of entries, against a slow twin that decodes each: what is alike, what is not, and in which order.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { comparePaths, type FileEntry } from "../../src/baselines/files/entry.ts";
import { EntryReader } from "../../src/files/entry-reader.ts";
import { entryOf } from "../../src/files/scan.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { entry, xattr, type Hand } from "./entries.ts";

const FULL = 1;
const KEEP = 2;
const EBADMSG = 74;
const ALIKE = 0xffff_ffff;
const RECENT = 1;

/** Few values of each, so that many are the same in both runs. */
const hand: fc.Arbitrary<Hand> = fc.record({
  path: fc.constantFrom("/a", "/a/b", "/a-b", "/a b", "/a/", "/a\xff", "/aa", "/a/b/c", "/"),
  mode: fc.constantFrom(0o100644, 0o100755, 0o040755),
  size: fc.nat(1),
  ctimeNs: fc.constantFrom(3n, 4n),
  rule: fc.nat(1),
  have: fc.constantFrom(31, 31, 31, 1, 0),
  error: fc.constantFrom(0, 0, 0, 13),
  flags: fc.nat(1),
  notes: fc.constantFrom(0, 0, 0, 0, RECENT, 2, 4, 32),
  sha256: fc.constantFrom("00".repeat(32), "01".repeat(32)),
  target: fc.constantFrom("", "t"),
  xattrs: fc.constantFrom(Buffer.alloc(0), xattr("user.x", Buffer.from("1")), xattr("user.x", Buffer.from("2"))),
});

const run = fc.uniqueArray(hand, { maxLength: 6, selector: ({ path }) => path }).map((hands) =>
  hands
    .map((each) => ({ bytes: entry(each), path: Buffer.from(each.path) }))
    .toSorted((a, b) => comparePaths(a.path, 0, a.path.length, b.path, 0, b.path.length))
    .map(({ bytes }) => bytes),
);

interface Case {
  readonly flags: number;
  readonly was: Buffer;
  readonly is: readonly Buffer[];
  readonly cuts: readonly number[];
}

const merging: fc.Arbitrary<Case> = fc
  .record({
    flags: fc.nat(3),
    was: run,
    is: run,
    /** Which of the second are those of the first. */
    same: fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }),
    cuts: fc.array(fc.nat(), { maxLength: 4 }),
  })
  .map(({ flags, was, is, same, cuts }) => ({
    flags,
    was: Buffer.concat(was),
    is: is.map((each, index) => {
      const other = was.find((one) => entryOf(one).path.equals(entryOf(each).path));
      return same[index] === true && other !== undefined ? other : each;
    }),
    cuts,
  }));

/** Bytes that anybody may have written. */
const broken: fc.Arbitrary<Case> = fc
  .record({
    from: merging,
    flips: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
    cut: fc.option(fc.nat()),
  })
  .map(({ from, flips, cut }) => {
    const was = Buffer.from(from.was);
    for (const [at, value] of flips) if (was.length > 0) was[at % was.length] = value;
    return { ...from, was: cut === null ? was : was.subarray(0, cut % (was.length + 1)) };
  });

function pieces({ was, cuts }: Case): Buffer[] {
  const ends = [...cuts.map((cut) => cut % (was.length + 1)).toSorted((a, b) => a - b), was.length];
  return ends
    .map((end, index) => was.subarray(index === 0 ? 0 : ends[index - 1], end))
    .filter(({ length }) => length > 0);
}

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

function encoded(each: Case): Buffer {
  const given = pieces(each);
  const is = Buffer.concat(each.is);
  return Buffer.concat([
    number(each.flags),
    number(given.length),
    ...given.flatMap((piece) => [number(piece.length), piece]),
    number(is.length),
    is,
  ]);
}

/** Of the bytes that C takes for the same: what is left out says how it was read, or was not asked. */
function isAlike(
  was: FileEntry,
  is: FileEntry,
  full: boolean,
  bytes: { readonly was: Buffer; readonly is: Buffer },
): boolean {
  if (!was.path.equals(is.path) || was.mount !== is.mount) return false;
  const stat = (each: FileEntry, of: Buffer): unknown => [each.stat !== undefined, of.subarray(8, 72).toString("hex")];
  const of = (each: FileEntry): unknown => [each.rule, each.error, each.sha256, each.target, each.flags, each.xattrs];
  const raw = ({ length }: Buffer, each: Buffer): string =>
    each.subarray(72, 92).toString("hex") + each.subarray(96, length).toString("hex");
  const same = (a: unknown, b: unknown): boolean => {
    try {
      assert.deepEqual(a, b);
      return true;
    } catch {
      return false;
    }
  };
  if (full) {
    const alike = bytes.was.length === bytes.is.length && raw(bytes.was, bytes.was) === raw(bytes.is, bytes.is);
    // What is alike in all its bytes is so in all that they say.
    if (alike) assert.ok(same(of(was), of(is)));
    return alike && same(stat(was, bytes.was), stat(is, bytes.is));
  }
  return (
    (bytes.was[92] ?? 0) % 2 !== RECENT &&
    same(stat(was, bytes.was), stat(is, bytes.is)) &&
    (is.error === 0 || is.error === was.error)
  );
}

type Pair = readonly [was: string, is: string];
const ALIKE_AS = "alike";

/** Undefined: these are no entries. */
async function twin(each: Case): Promise<readonly Pair[] | undefined> {
  const full = (each.flags & FULL) !== 0;
  const was: Buffer[] = [];
  try {
    const reader = new EntryReader(
      (async function* () {
        yield each.was;
        await Promise.resolve();
      })(),
    );
    for (await reader.fill(); !reader.done; reader.dry ? await reader.fill() : undefined) {
      was.push(reader.copy());
      reader.step();
    }
  } catch {
    return undefined;
  }
  const pairs: Pair[] = [];
  const is = [...each.is];
  while (was.length > 0 || is.length > 0) {
    const [left, right] = [was[0], is[0]];
    const [before, now] = [left, right].map((one) => (one === undefined ? undefined : decoded(one)));
    if (left !== undefined && right !== undefined && before !== undefined && now !== undefined) {
      if (isAlike(before, now, full, { was: left, is: right })) {
        if ((each.flags & KEEP) !== 0) pairs.push([ALIKE_AS, (full ? right : left).toString("hex")]);
        was.shift();
        is.shift();
        continue;
      }
    }
    const order =
      before === undefined
        ? 1
        : now === undefined
          ? -1
          : comparePaths(before.path, 0, before.path.length, now.path, 0, now.path.length);
    pairs.push([order <= 0 ? (left?.toString("hex") ?? "") : "", order >= 0 ? (right?.toString("hex") ?? "") : ""]);
    if (order <= 0) was.shift();
    if (order >= 0) is.shift();
  }
  return pairs;
}

/** Extended attributes that make no sense are not what is compared here. */
function decoded(bytes: Buffer): FileEntry {
  try {
    return entryOf(bytes);
  } catch {
    const plain = Buffer.from(bytes);
    plain.writeUInt32LE(0, 88);
    return entryOf(plain);
  }
}

function answersIn(output: Buffer): (readonly Pair[] | undefined)[] {
  const answers: (readonly Pair[] | undefined)[] = [];
  for (let at = 0; at < output.length;) {
    const [error, length] = [output.readUInt32LE(at), output.readUInt32LE(at + 4)];
    const bytes = output.subarray(at + 8, at + 8 + length);
    at += 8 + length;
    assert.ok(error === 0 || error === EBADMSG, String(error));
    answers.push(error === 0 ? pairsIn(bytes) : undefined);
  }
  return answers;
}

function pairsIn(bytes: Buffer): Pair[] {
  const pairs: Pair[] = [];
  for (let at = 0; at < bytes.length;) {
    const [was, is] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
    const from = at + 8;
    const between = was === ALIKE ? from : from + was;
    at = between + is;
    pairs.push([was === ALIKE ? ALIKE_AS : bytes.toString("hex", from, between), bytes.toString("hex", between, at)]);
  }
  return pairs;
}

test("C and the twin hand on the same of every two runs, and refuse the same bytes", async () => {
  const cases = [...fc.sample(merging, 6_000), ...fc.sample(broken, 3_000)];
  const program = join(temporaryDirectory("merge"), "merge_entries");
  const native = fileURLToPath(new URL("../../native", import.meta.url));
  const flags = "-std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -fsanitize=address,undefined".split(" ");
  const sources = [
    fileURLToPath(new URL("merge_entries.c", import.meta.url)),
    join(native, "file_merge.c"),
    join(native, "batch.c"),
  ];
  const compiled = spawnSync("gcc", [...flags, "-I", native, "-o", program, ...sources], { encoding: "utf8" });
  assert.equal(compiled.status, 0, compiled.stderr);
  const ran = spawnSync(program, [], { input: Buffer.concat(cases.map(encoded)), maxBuffer: 2 ** 28 });
  assert.equal(ran.status, 0, ran.stderr.toString());
  const answers = answersIn(ran.stdout);
  assert.equal(answers.length, cases.length);
  for (const [index, each] of cases.entries()) assert.deepEqual(answers[index], await twin(each), `case ${index}`);
  assert.ok(answers.includes(undefined));
  assert.ok(answers.some((pairs) => pairs?.some(([was]) => was === ALIKE_AS)));
});

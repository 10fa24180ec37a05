// Pages of code that are copies: what native/ finds, by either way, against a slow twin that reads pagemap and mem.

import assert from "node:assert/strict";
import { closeSync, copyFileSync, openSync, readdirSync, readFileSync, readSync, renameSync, statSync } from "node:fs";
import { after, test, type TestContext } from "node:test";
import { requireAddon, type Procfs } from "../../src/native.ts";
import type { CodePagesRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { functionIn, readCode, writeCode } from "../fixtures/code.ts";
import { compile } from "../fixtures/compile.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { lineOf, startNode } from "./child.ts";

const { addon, path } = requireAddon();
const LIBRARY = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/libcrypto.so.3`;
const PRESENT = 1n << 63n;
const SWAPPED = 1n << 62n;
const FILE = 1n << 61n;

const targets: Target[] = [];
after(async () => {
  for (const target of targets) await target.stop();
});

async function started(): Promise<Target> {
  const target = await spawnTarget();
  targets.push(target);
  return target;
}

/** Whose functions it does not call. */
async function startedWithLibrary(): Promise<Target> {
  const target = await started();
  await target.command(`dlopen ${LIBRARY}`);
  return target;
}

function openProcfs(t: TestContext): Procfs {
  const procfs = addon.openProcfs();
  t.after(() => procfs.close());
  return procfs;
}

async function codePages(procfs: Procfs, pid: number, byPagemap: boolean): Promise<CodePagesRecord | undefined> {
  const [record, ...others] = decodeRecords(await procfs.codePages(pid, byPagemap));
  assert.deepEqual(others, []);
  if (record === undefined) return undefined;
  assert.ok(record.kind === "code-pages" && record.pid === pid);
  if (byPagemap) assert.ok(record.byPagemap);
  return record;
}

interface TwinPage {
  readonly page: string;
  readonly path: string;
  readonly offset: number;
  /** Where it differs, from its beginning. */
  readonly differing: readonly number[] | undefined;
}

function readAt(path: string, length: number, position: number): Buffer | undefined {
  const fd = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, position));
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

function twinPages(pid: number): TwinPage[] {
  const pages: TwinPage[] = [];
  for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
    const mapping = /^(\w+)-(\w+) ..xp (\w+) \S+ (\d+) +(.*)$/.exec(line);
    if (mapping === null || mapping[4] === "0") continue;
    const [, start = "", end = "", from = "", , path = ""] = mapping;
    const entries = readAt(
      `/proc/${pid}/pagemap`,
      (parseInt(end, 16) - parseInt(start, 16)) / 512,
      parseInt(start, 16) / 512,
    );
    const file = `/proc/${pid}/map_files/${start}-${end}`;
    if (!statSync(file).isFile()) continue;
    for (let at = 0; at < (entries?.length ?? 0); at += 8) {
      const entry = entries!.readBigUInt64LE(at);
      if ((entry & (PRESENT | SWAPPED)) === 0n || (entry & FILE) !== 0n) continue;
      const page = parseInt(start, 16) + at * 512;
      const offset = parseInt(from, 16) + at * 512;
      const found = readCode(pid, page, 4096);
      const expected = Buffer.alloc(4096);
      const known = readAt(file, 4096, offset)?.copy(expected);
      const differing =
        known === undefined ? undefined : [...found.keys()].filter((index) => found[index] !== expected[index]);
      pages.push({ page: page.toString(16), path, offset, differing });
    }
  }
  return pages;
}

function sameAsTwin(record: CodePagesRecord, twins: readonly TwinPage[]): void {
  assert.equal(record.unread, 0);
  assert.deepEqual(
    record.pages.map(({ page, path, offset, differing }) => ({ page, path, offset, differing })),
    twins.map((twin) => ({ ...twin, differing: twin.differing?.length })),
  );
  for (const [index, { page, offset, changes = [] }] of record.pages.entries()) {
    const within = new Set(
      changes.flatMap(({ address, length }) => {
        const from = Number(BigInt(`0x${address}`) - BigInt(`0x${page}`));
        return Array.from({ length }, (_, at) => from + at);
      }),
    );
    for (const at of twins[index]?.differing ?? []) assert.ok(within.has(at), `${at} of the page is in a change`);
    for (const change of changes) {
      const from = Number(BigInt(`0x${change.address}`) - BigInt(`0x${page}`));
      assert.equal(change.offset, offset + from);
      assert.ok(change.length > 0 && from + change.length <= 4096);
      assert.equal(change.found.length, Math.min(change.length, 32) * 2);
      assert.equal(change.expected.length, change.found.length);
    }
  }
}

test("both ways and the twin agree on a process whose code is changed again and again", async (t) => {
  const procfs = openProcfs(t);
  const { pid } = await startedWithLibrary();
  const place = functionIn(pid, LIBRARY, "EVP_DecryptUpdate");
  const compare = async (): Promise<CodePagesRecord> => {
    const [scanned, read] = [await codePages(procfs, pid, false), await codePages(procfs, pid, true)];
    assert.ok(scanned && read);
    assert.deepEqual(read.pages, scanned.pages);
    sameAsTwin(scanned, twinPages(pid));
    return scanned;
  };
  assert.deepEqual((await compare()).pages, []);
  const { address, bytes } = place;

  writeCode(pid, address, Buffer.from([0xcc]));
  assert.deepEqual((await compare()).pages.flatMap(({ changes }) => changes), [
    { address: address.toString(16), offset: place.offset, length: 1, found: "cc", expected: bytes.toString("hex", 0, 1) },
  ]); // prettier-ignore

  writeCode(pid, address, bytes);
  const [restored, ...none] = (await compare()).pages;
  assert.deepEqual([restored?.differing, restored?.changes, none], [0, [], []]);

  // Two that lie together are one, two further apart are two.
  const other = (index: number): number => (bytes[index] ?? 0) ^ 0xff;
  writeCode(pid, address, Buffer.from([other(0), ...bytes.subarray(1, 4), other(4)]));
  writeCode(pid, address + 9, Buffer.from([other(9)]));
  assert.deepEqual(
    (await compare()).pages.flatMap(({ changes = [] }) => changes.map(({ length }) => length)),
    [5, 1],
  );

  // Over the end of a page: its own change in each.
  const edge = address - (address % 4096) + 4096;
  const whole = readCode(pid, edge - 3, 6).map((byte) => byte ^ 0xff);
  writeCode(pid, edge - 3, whole);
  const changes = (await compare()).pages.flatMap((page) => page.changes ?? []);
  assert.deepEqual(changes.slice(-2).map((change) => [change.address, change.length]), [
    [(edge - 3).toString(16), 3],
    [edge.toString(16), 3],
  ]); // prettier-ignore

  // A whole page, of which only a little is told.
  writeCode(
    pid,
    edge,
    readCode(pid, edge, 4096).map((byte, index) => (index < 3 ? byte : byte ^ 0xff)),
  );
  const { differing, changes: [all] = [] } = (await compare()).pages.at(-1)!;
  assert.deepEqual([differing, all?.length], [4096, 4096]);

  // More changes than are told one by one: the last reaches over the rest.
  const many = functionIn(pid, LIBRARY, "RSA_sign").address;
  const page = many - (many % 4096);
  writeCode(
    pid,
    page,
    readCode(pid, page, 4096).map((byte, index) => (index % 8 === 0 ? byte ^ 0xff : byte)),
  );
  await compare();
});

test("every process of the machine: both ways and the twin agree", async (t) => {
  const procfs = openProcfs(t);
  let compared = 0;
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    const pid = Number(name);
    let before: TwinPage[];
    let after: TwinPage[];
    let records: (CodePagesRecord | undefined)[];
    try {
      before = twinPages(pid);
      records = [await codePages(procfs, pid, false), await codePages(procfs, pid, true)];
      after = twinPages(pid);
    } catch {
      continue; // Gone, or without memory.
    }
    // What changed in between proves nothing.
    if (JSON.stringify(before) !== JSON.stringify(after)) continue;
    for (const record of records) if (record !== undefined) sameAsTwin(record, before);
    compared++;
  }
  assert.ok(compared > 5, `${compared} compared`);
});

test("node compiles without its own code becoming a copy", async (t) => {
  const procfs = openProcfs(t);
  for (let round = 0; round < 50; round++) {
    const hot = new Function("n", `let s = ${round}; for (let i = 0; i < n; i++) s = (s * 31 + i) | 0; return s;`) as (n: number) => number; // prettier-ignore
    for (let index = 0; index < 200; index++) hot(1_000);
  }
  for (const byPagemap of [false, true]) assert.deepEqual((await codePages(procfs, process.pid, byPagemap))?.pages, []);
});

test("copies in a fork, and none after an exec", async (t) => {
  const procfs = openProcfs(t);
  const target = await startedWithLibrary();
  const { address } = functionIn(target.pid, LIBRARY, "EVP_DecryptUpdate");
  writeCode(target.pid, address, Buffer.from([0xcc]));
  const [child = 0] = await target.fork();
  const ofChild = await codePages(procfs, child, false);
  assert.deepEqual(ofChild?.pages, (await codePages(procfs, target.pid, false))?.pages);
  assert.equal(ofChild?.pages.length, 1);
  await target.exec();
  assert.deepEqual((await codePages(procfs, target.pid, false))?.pages, []);
});

test("a file whose name was given to another is still the file that is compared", async (t) => {
  const procfs = openProcfs(t);
  const target = await started();
  const folder = target.cwd;
  const path = `${folder}/plugin.so`;
  copyFileSync(compile("evil", { shared: true }), path);
  await target.command(`dlopen ${path}`);
  const { address, bytes } = functionIn(target.pid, path, "_init");
  copyFileSync(compile("preload", { shared: true }), `${folder}/new.so`);
  renameSync(`${folder}/new.so`, path);
  assert.deepEqual((await codePages(procfs, target.pid, false))?.pages, [], "an upgrade changes no code");
  writeCode(target.pid, address, Buffer.from([0xcc]));
  const [page] = (await codePages(procfs, target.pid, false))?.pages ?? [];
  assert.equal(page?.path, `${path} (deleted)`);
  assert.deepEqual(page.changes?.map(({ found, expected }) => [found, expected]), [["cc", bytes.toString("hex", 0, 1)]]); // prettier-ignore
});

test("nobody, and a process without memory, have no code", async (t) => {
  const procfs = openProcfs(t);
  assert.equal(await codePages(procfs, 4_194_303, false), undefined);
  assert.deepEqual((await codePages(procfs, 2, false).catch(() => undefined))?.pages ?? [], []);
});

test("memory that may not be read hides what was changed, not that it was", async (t) => {
  const target = await spawnTarget({ uid: 65534, gid: 65534 });
  targets.push(target);
  await target.command(`dlopen ${LIBRARY}`);
  writeCode(target.pid, functionIn(target.pid, LIBRARY, "EVP_DecryptUpdate").address, Buffer.from([0xcc]));
  const look = `
    require(${JSON.stringify(path)}).openProcfs().codePages(${target.pid})
      .then((bytes) => console.log(bytes.toString("hex")), ({ code }) => console.log(code));
  `;
  // From Linux 6.15 on CAP_SYS_ADMIN is enough for the pagemap of anybody, and never for mem.
  const keep = ["sys_admin", "dac_override"];
  const script = `addon.execWithCapabilities(process.execPath, ["-e", ${JSON.stringify(look)}], [], ${JSON.stringify(keep)});`;
  const said = await lineOf(startNode(t, script));
  if (said === "EACCES") return;
  const [record] = decodeRecords(Buffer.from(said, "hex"));
  assert.ok(record?.kind === "code-pages" && !record.readable);
  assert.deepEqual(record.pages.map(({ differing, changes }) => [differing, changes]), [[undefined, undefined]]); // prettier-ignore
});

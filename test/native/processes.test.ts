import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { requireAddon, WANT, type Procfs } from "../../src/native.ts";
import type { ProcessRecord, ThreadRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { lineOf, start, startNode, until } from "./child.ts";
import { readTwin } from "./twin.ts";

const { addon } = requireAddon();
const EVERYTHING = Object.values(WANT).reduce((bits, bit) => bits | bit) & ~WANT.traced;

function openProcfs(t: TestContext): Procfs {
  const procfs = addon.openProcfs();
  t.after(() => procfs.close());
  return procfs;
}

async function scan(procfs: Procfs, want: number, pids?: readonly number[]): Promise<Map<number, ProcessRecord>> {
  const records = decodeRecords(await procfs.scan(want, pids && Uint32Array.from(pids)));
  const processes = records.filter((record) => record.kind === "process");
  assert.equal(processes.length, records.length, "nothing but processes");
  return new Map(processes.map((record) => [record.process.pid, record]));
}

async function scanOne(procfs: Procfs, pid: number): Promise<ProcessRecord> {
  const found = (await scan(procfs, EVERYTHING, [pid])).get(pid);
  assert.ok(found);
  return found;
}

function sameAsTwin(record: ProcessRecord): void {
  const { kind: _, ...found } = record;
  assert.deepEqual(found, readTwin(record.process.pid));
}

test("every process of the machine reads as its twin does", async (t) => {
  const procfs = openProcfs(t);
  const child = start(t, "sleep", ["1000"]);
  await until("sleep to be executed", async () =>
    (await scanOne(procfs, child.pid)).process.comm === "sleep" ? true : undefined,
  );
  const before = await scan(procfs, EVERYTHING);
  const twins = new Map([...before.keys()].map((pid) => [pid, readTwin(pid)]));
  const after = await scan(procfs, EVERYTHING);
  let compared = 0;
  for (const [pid, record] of before) {
    // What changed in between proves nothing.
    if (pid === process.pid || JSON.stringify(record) !== JSON.stringify(after.get(pid))) continue;
    const { kind: _, ...found } = record;
    assert.deepEqual(found, twins.get(pid));
    compared++;
  }
  assert.ok(compared > before.size / 2, `${compared} of ${before.size} compared`);
  assert.ok(before.get(process.pid) && before.get(1) && before.get(child.pid));
});

test("the table is complete", async (t) => {
  const procfs = openProcfs(t);
  const listed = () =>
    new Set(
      readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .map(Number),
    );
  const before = listed();
  const found = await scan(procfs, 0);
  const after = listed();
  for (const pid of before) if (after.has(pid)) assert.ok(found.has(pid), `process ${pid} is missing`);
});

for (const [what, comm] of [
  ["a parenthesis", "a) R 1 2 (b"],
  ["a newline", "a\nUid:\t0"],
  ["UTF-8 cut in the middle", "ééééééééé"],
  ["bytes that are no UTF-8", Buffer.from([0xff, 0xfe, 0x29, 0x20])],
] as const) {
  test(`a name with ${what}`, async (t) => {
    const procfs = openProcfs(t);
    const bytes = Buffer.from(comm as string).toString("base64");
    const child = startNode(
      t,
      `require("fs").writeFileSync("/proc/self/comm", Buffer.from("${bytes}", "base64")); console.log("set"); process.stdin.resume();`,
    );
    await lineOf(child);
    const record = await scanOne(procfs, child.pid);
    sameAsTwin(record);
    assert.notEqual(record.process.comm, "node");
  });
}

test("a program whose file is gone, preloads at the far end of a large environment", async (t) => {
  const procfs = openProcfs(t);
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const program = join(folder, "sleep");
  copyFileSync("/bin/sleep", program);
  const library = /\S+\/libm\.so\.6/.exec(readFileSync("/proc/self/maps", "latin1"))?.[0] ?? "";
  const junk = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`JUNK_${i}`, "x".repeat(100_000)]));
  const env = { ...junk, LD_PRELOAD: `${library}:${library}`, LD_PRELOADED: "no", LD_AUDIT: "" };
  const child = start(t, program, ["1000", "0"], { env });
  await until("the exec", async () => ((await scanOne(procfs, child.pid)).process.exe === program ? true : undefined));
  unlinkSync(program);
  const record = await scanOne(procfs, child.pid);
  sameAsTwin(record);
  assert.equal(record.process.exe, `${program} (deleted)`);
  assert.deepEqual(record.process.cmdline, [program, "1000", "0"]);
  assert.deepEqual(record.posture?.loader, [{ name: "LD_PRELOAD", paths: [library, library] }]);
});

test("thousands of groups do not hide the capabilities behind them", async (t) => {
  const procfs = openProcfs(t);
  const child = startNode(
    t,
    `process.setgroups(Array.from({ length: 20000 }, (_, i) => 4e9 + i)); console.log("set"); process.stdin.resume();`,
  );
  await lineOf(child);
  const record = await scanOne(procfs, child.pid);
  sameAsTwin(record);
  assert.match(record.process.capabilities ?? "", /^[0-9a-f]{16}$/);
});

test("a zombie: what its memory said is unknown, not empty", async (t) => {
  const procfs = openProcfs(t);
  const child = start(t, "sh", ["-c", "sleep 0 & echo $!; exec sleep 1000"]);
  const zombie = Number(await lineOf(child));
  await until("the zombie", () => (readTwin(zombie)?.process.cmdline === undefined ? true : undefined));
  const record = await scanOne(procfs, zombie);
  sameAsTwin(record);
  assert.equal(record.process.cmdline, undefined);
  assert.equal(record.posture?.loader, undefined);
});

test("a tracer of one thread among many is found on that thread alone", async (t) => {
  const procfs = openProcfs(t);
  const decoy = startNode(t, `console.log(addon.attack.startThread()); process.stdin.resume();`);
  const tid = Number(await lineOf(decoy));
  const tracer = start(t, "strace", ["-o", "/dev/null", "-p", String(tid)], { stdio: "ignore" });
  const { startTime } = (await scanOne(procfs, decoy.pid)).process;
  const threads = await until("the tracer", async () => {
    const records = decodeRecords(await procfs.scan(WANT.traced, Uint32Array.of(decoy.pid)));
    const found = records.filter((record): record is ThreadRecord => record.kind === "thread");
    return found.length > 0 ? found : undefined;
  });
  assert.deepEqual(threads, [{ kind: "thread", pid: decoy.pid, startTime, tid, tracerPid: tracer.pid }]);
  const leader = await scanOne(procfs, decoy.pid);
  assert.equal(leader.process.tracerPid, 0);
});

test("processes that are gone are left out, others are not", async (t) => {
  const procfs = openProcfs(t);
  const found = await scan(procfs, EVERYTHING, [4_194_303, process.pid, 0]);
  assert.deepEqual([...found.keys()], [process.pid]);
});

test("a closed procfs says so", async () => {
  const procfs = addon.openProcfs();
  const underWay = procfs.scan(EVERYTHING);
  procfs.close();
  procfs.close();
  assert.ok((await underWay).length > 0, "what was under way ends well");
  assert.throws(() => procfs.scan(0), { code: "EBADF", message: /this procfs is closed/ });
  assert.throws(() => addon.openProcfs().scan(-1), /want must be a whole number/);
});

test("mappings: executable ones only, merged, told apart by the digest", async (t) => {
  const procfs = openProcfs(t);
  const child = start(t, "sleep", ["1000"]);
  const read = async (known?: bigint) => {
    const [record, ...others] = decodeRecords(await procfs.maps(child.pid, known));
    assert.equal(others.length, 0);
    assert.ok(record?.kind === "maps" && record.pid === child.pid);
    return record;
  };
  await until("sleep to be loaded", async () =>
    (await read()).mappings?.some(({ path }) => path.endsWith("/libc.so.6")) ? true : undefined,
  );
  const first = await until("its mappings to rest", async () => {
    const one = await read();
    return (await read()).digest === one.digest ? one : undefined;
  });
  const lines = readFileSync(`/proc/${child.pid}/maps`, "latin1")
    .split("\n")
    .filter((line) => /^\S+ ..x/.test(line));
  assert.deepEqual(
    first.mappings?.map(({ start, permissions, path }) => `${start.padStart(8, "0")} ${permissions} ${path}`),
    lines.map((line) => {
      const [range = "", permissions = "", , , , path = ""] = line.split(/ +/);
      return `${range.split("-")[0]} ${permissions} ${path}`;
    }),
  );
  assert.equal((await read(first.digest)).mappings, undefined);
  assert.deepEqual((await read(first.digest ^ 1n)).mappings, first.mappings);
  assert.equal((await procfs.maps(4_194_303)).length, 0);
});

test("open files by the end of their name", async (t) => {
  const procfs = openProcfs(t);
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const holder = start(t, "sh", ["-c", `exec 7>${folder}/key.pem 8</proc/$PPID/mem; echo open; exec sleep 1000`]);
  await lineOf(holder);
  const twin = readTwin(holder.pid);
  const records = decodeRecords(await procfs.openFiles([".pem", "/mem"]));
  const found = records.filter((record) => record.kind === "open-file" && record.pid === holder.pid);
  const head = { kind: "open-file", pid: holder.pid, startTime: twin?.process.startTime };
  assert.deepEqual(found, [
    { ...head, fd: 7, path: `${folder}/key.pem` },
    { ...head, fd: 8, path: `/proc/${process.pid}/mem` },
  ]);
  assert.deepEqual(decodeRecords(await procfs.openFiles([".nothing"])), []);
  assert.deepEqual(decodeRecords(await procfs.openFiles([".pem"], Uint32Array.of(process.pid))), []);
});

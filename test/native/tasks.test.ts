// The process table by the kernel's walk of its tasks: it must say of every process what /proc says of it, in C and in
// the slow twin.

import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { requireAddon, WANT, type Procfs } from "../../src/native.ts";
import type { Process } from "../../src/observation.ts";
import type { NativeRecord, ProcessRecord, ThreadRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { lineOf, start, startNode, until } from "./child.ts";
import { readTwin } from "./twin.ts";

const { addon } = requireAddon();

/** What the walk can say. */
const KNOWN = WANT.status | WANT.exe | WANT.namespaces;

function open(t: TestContext): Procfs {
  const procfs = addon.openProcfs();
  t.after(() => procfs.close());
  return procfs;
}

function processesOf(records: readonly NativeRecord[]): Map<number, ProcessRecord> {
  return new Map(records.flatMap((each) => (each.kind === "process" ? [[each.process.pid, each] as const] : [])));
}

async function read(procfs: Procfs, want = KNOWN): Promise<Map<number, ProcessRecord>> {
  return processesOf(decodeRecords(await procfs.walk(want)));
}

async function scan(procfs: Procfs, pids?: readonly number[]): Promise<Map<number, ProcessRecord>> {
  return processesOf(decodeRecords(await procfs.scan(KNOWN, pids && Uint32Array.from(pids))));
}

async function readOne(procfs: Procfs, pid: number): Promise<ProcessRecord> {
  const found = (await read(procfs)).get(pid);
  assert.ok(found);
  return found;
}

/** Without what lies in the process's own memory, its cgroup, and the name /proc gives a kernel thread instead of its own. */
function comparable(process: Process): unknown {
  return {
    ...process,
    cmdline: undefined,
    cgroup: undefined,
    comm: process.kernelThread ? process.comm.slice(0, 6) : process.comm,
  };
}

test("the walk, /proc read in C and /proc read by the twin agree on every process of the machine", async (t) => {
  const procfs = open(t);
  const child = start(t, "sleep", ["1000"]);
  await until("sleep to be executed", async () =>
    (await readOne(procfs, child.pid)).process.comm === "sleep" ? true : undefined,
  );
  const before = await scan(procfs);
  const walked = await read(procfs);
  const scanned = await scan(procfs);
  const twins = new Map([...walked.keys()].map((pid) => [pid, readTwin(pid)?.process]));
  const walkedAgain = await read(procfs);
  let compared = 0;
  for (const [pid, { process }] of walked) {
    // What changed in between proves nothing.
    if (pid === globalThis.process.pid || JSON.stringify(process) !== JSON.stringify(walkedAgain.get(pid)?.process))
      continue;
    const other = scanned.get(pid);
    const twin = twins.get(pid);
    assert.ok(other !== undefined && twin !== undefined, `process ${pid} is not in /proc`);
    assert.deepEqual(comparable(process), comparable(other.process));
    assert.deepEqual(comparable(process), comparable(twin));
    compared++;
  }
  // A kernel may keep a process out of the walk; it then keeps root from looking into it as well.
  for (const pid of before.keys())
    if (scanned.get(pid)?.process.pidNamespace !== undefined) assert.ok(walked.has(pid), `process ${pid} is missing`);
  assert.ok(compared > walked.size / 2, `${compared} of ${walked.size} compared`);
  assert.ok(walked.has(2) && walked.has(child.pid) && walked.has(process.pid));
});

test("more than the kernel hands over at once comes whole, and only what was asked for", async (t) => {
  const procfs = open(t);
  const children = (records: Map<number, ProcessRecord>) =>
    [...records.values()].filter(({ process }) => process.parentPid === parent.pid);
  const parent = start(t, "sh", ["-c", "for i in $(seq 400); do sleep 1000 & done; echo started; wait"]);
  await lineOf(parent);
  const everything = children(await read(procfs));
  assert.equal(everything.length, 400);
  for (const { process } of everything) assert.equal(process.uid, globalThis.process.getuid?.());
  const little = children(await read(procfs, 0));
  assert.equal(little.length, 400);
  for (const { process } of little)
    assert.deepEqual(Object.keys(process), ["pid", "startTime", "parentPid", "comm", "kernelThread"]);
  for (const { process } of little) addon.signalProcess(process.pid, process.startTime, 9);
});

test("two that ask at once get what each asked for", async (t) => {
  const procfs = open(t);
  const reads = Array.from({ length: 20 }, (_, index) => read(procfs, index % 2 === 0 ? 0 : KNOWN));
  for (const [index, records] of (await Promise.all(reads)).entries()) {
    const own = records.get(process.pid)?.process;
    assert.equal(own?.uid !== undefined && own.exe !== undefined && own.pidNamespace !== undefined, index % 2 !== 0);
  }
});

test("a process of nested pid namespaces has a number in each, as /proc says", async (t) => {
  const procfs = open(t);
  // Each is the first process of its namespace, so that all end with the outermost.
  const unshare = ["unshare", "--pid", "--fork", "--kill-child"];
  const [outermost = "", ...args] = [...Array.from({ length: 6 }, () => unshare).flat(), "sleep", "1000"];
  const outer = start(t, outermost, args);
  const descendant = await until("sleep", async () => {
    const table = await read(procfs);
    for (const { process } of table.values()) {
      if (process.comm !== "sleep" || process.namespacePids?.length !== 7) continue;
      for (let at = table.get(process.parentPid); at !== undefined; at = table.get(at.process.parentPid))
        if (at.process.pid === outer.pid) return process;
    }
    return undefined;
  });
  const other = (await scan(procfs, [descendant.pid])).get(descendant.pid);
  assert.ok(other);
  assert.deepEqual(comparable(descendant), comparable(other.process));
});

test("a long path, and a program whose file is gone", async (t) => {
  const procfs = open(t);
  const top = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(top, { recursive: true }));
  const folder = join(top, ...Array.from({ length: 15 }, () => "x".repeat(250)));
  mkdirSync(folder, { recursive: true });
  const program = join(folder, "sleep");
  copyFileSync("/bin/sleep", program);
  const child = start(t, program, ["1000"]);
  await until("the exec", async () => ((await readOne(procfs, child.pid)).process.exe === program ? true : undefined));
  unlinkSync(program);
  assert.equal((await readOne(procfs, child.pid)).process.exe, `${program} (deleted)`);
});

test("a zombie has a status and nothing of what it ran", async (t) => {
  const procfs = open(t);
  const child = start(t, "sh", ["-c", "sleep 0 & echo $!; exec sleep 1000"]);
  const zombie = Number(await lineOf(child));
  const { process } = await until("the zombie", async () => {
    const record = await readOne(procfs, zombie);
    return record.process.exe === undefined ? record : undefined;
  });
  const other = (await scan(procfs, [zombie])).get(zombie);
  assert.ok(other);
  assert.deepEqual(comparable(process), comparable(other.process));
});

test("an exec of the same file is told by its number", async (t) => {
  const procfs = open(t);
  const child = start(t, "sh", ["-c", `echo first; read line; exec sh -c "echo second; read line"`]);
  assert.equal(await lineOf(child), "first");
  const before = await readOne(procfs, child.pid);
  assert.deepEqual((await readOne(procfs, child.pid)).execId, before.execId);
  child.stdin?.write("\n");
  assert.equal(await lineOf(child), "second");
  const after = await readOne(procfs, child.pid);
  assert.deepEqual(after.process, before.process);
  assert.notEqual(after.execId, before.execId);
});

test("a tracer of one thread among many is found, with the process the thread is of", async (t) => {
  const procfs = open(t);
  const decoy = startNode(t, `console.log(addon.attack.startThread()); process.stdin.resume();`);
  const tid = Number(await lineOf(decoy));
  const tracer = start(t, "strace", ["-o", "/dev/null", "-p", String(tid)], { stdio: "ignore" });
  const { startTime } = (await readOne(procfs, decoy.pid)).process;
  const traced = (batch: Buffer): ThreadRecord[] =>
    decodeRecords(batch).filter((each): each is ThreadRecord => each.kind === "thread" && each.pid === decoy.pid);
  const found = await until("the tracer", async () => {
    const threads = traced(await procfs.walk(WANT.traced));
    return threads.length > 0 ? threads : undefined;
  });
  assert.deepEqual(found, [{ kind: "thread", pid: decoy.pid, startTime, tid, tracerPid: tracer.pid }]);
  assert.deepEqual(found, traced(await procfs.scan(WANT.traced, Uint32Array.of(decoy.pid))));
  assert.deepEqual(traced(await procfs.walk(KNOWN)), []);
});

test("one that is closed says so, and what was under way ends well", async () => {
  const procfs = addon.openProcfs();
  const underWay = procfs.walk(KNOWN);
  procfs.close();
  assert.ok((await underWay).length > 0);
  assert.throws(() => procfs.walk(0), { code: "EBADF", message: /this procfs is closed/ });
  assert.throws(() => addon.openProcfs().walk(-1), /want must be a whole number/);
});

test("in a pid namespace of its own it is refused, with the reason", async (t) => {
  const script = `try { addon.openProcfs().walk(0); console.log("walked"); } catch ({ code, message }) { console.log(code, message); }`;
  const prologue = `const addon = require(${JSON.stringify(requireAddon().path)});\n`;
  const child = start(t, "unshare", ["--pid", "--fork", "--mount-proc", process.execPath, "-e", prologue + script]);
  assert.match(await lineOf(child), /^ENOTSUP see the pids of the node/);
});

test("who has which file open is the same by the kernel's walk and out of /proc", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const held = [
    "key.pem",
    "id_rsa",
    "gone.pem",
    "mem",
    "em",
    "a-name-that-is-longer-than-a-dentry-keeps-in-itself.key",
  ];
  const redirections = held.map((name, index) => `${11 + index}>${name}`).join(" ");
  const script = `cd ${folder}; exec ${redirections} 30</proc/$PPID/mem; rm gone.pem; echo open; exec sleep 1000`;
  const holder = start(t, "bash", ["-c", script]);
  await lineOf(holder);
  const suffixes = ["/mem", ".pem", ".key", "id_rsa", "anon_inode:[perf_event]"];
  const filesBy = async (procfs: Procfs): Promise<readonly string[]> =>
    decodeRecords(await procfs.openFiles(suffixes))
      .flatMap((each) => (each.kind === "open-file" ? [`${each.pid} ${each.startTime} ${each.fd} ${each.path}`] : []))
      .toSorted();
  const [proc, walked] = [open(t), open(t)];
  await walked.walk(0);
  const found = await filesBy(walked);
  assert.deepEqual(found, await filesBy(proc));
  const ofHolder = found.filter((each) => each.startsWith(`${holder.pid} `)).map((each) => each.split(" ").slice(2));
  assert.deepEqual(ofHolder, [
    ["11", `${folder}/key.pem`],
    ["12", `${folder}/id_rsa`],
    ["14", `${folder}/mem`],
    ["16", `${folder}/${held[5]}`],
    ["30", `/proc/${process.pid}/mem`],
  ]);
  // Too short for the kernel's walk to tell: /proc is read.
  const short = decodeRecords(await walked.openFiles(["em"]));
  assert.ok(short.some((each) => each.kind === "open-file" && each.pid === holder.pid && each.fd === 15));
});

// The eBPF programs without the rest of rimon: each way into the memory of a process that is watched is told once, by
// its right name. Targets and readers are children of the test.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { requireAddon, type Watch } from "../../src/native.ts";
import { MEMORY_OPERATION, type MemoryRecord, type NativeRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { compile } from "../fixtures/compile.ts";
import { startAttack } from "../fixtures/attack.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { lineOf, start, until } from "./child.ts";
import { readTwin } from "./twin.ts";

const { addon } = requireAddon();
/** Longer than the programs keep quiet about what they have told. */
const QUIET_MS = 300;
/** Readers that meet a watch which gives signs of life all the time. */
const BEATEN = 2_000;
const REFUSED = (["vm-read", "vm-write", "peek", "poke", "mem-read", "mem-write", "bpf"] as const).reduce(
  (bits, operation) => bits | (1n << BigInt(MEMORY_OPERATION[operation])),
  0n,
);

interface Watching {
  readonly watch: Watch;
  readonly records: NativeRecord[];
  readonly target: Target;
  /** Touches of the target, or of the process named. */
  touches(pid?: number): MemoryRecord[];
}

async function watching(t: TestContext, refused = 0n): Promise<Watching> {
  const procfs = addon.openProcfs();
  const records: NativeRecord[] = [];
  const watch = addon.openWatch({ connector: true, files: false, memory: true }, procfs, (batch) => {
    records.push(...decodeRecords(batch));
  });
  const target = await spawnTarget({ threads: 1 });
  t.after(async () => {
    watch.close();
    procfs.close();
    await target.stop();
  });
  const { memory } = watch.status();
  assert.ok(memory.live, memory.reason);
  protect(watch, target.pid, refused);
  watch.enforce(refused !== 0n);
  return {
    watch,
    records,
    target,
    touches: (pid = target.pid) =>
      records.filter((each): each is MemoryRecord => each.kind === "memory" && each.targetPid === pid),
  };
}

function protect(watch: Watch, pid: number, refused = 0n): void {
  const startTime = readTwin(pid)?.process.startTime;
  assert.ok(startTime !== undefined);
  watch.protect(BigUint64Array.from([BigInt(pid), BigInt(startTime), refused]));
}

/** Runs an attacker to its end: whether it read the secret, and its pid. */
async function read(
  name: string,
  target: Pick<Target, "address" | "length">,
  who: number | string,
  extra: string[] = [],
) {
  const started = startAttack(name, [who, target.address, target.length, ...extra]);
  const act = await started.next().catch(() => undefined);
  return { pid: started.pid, hex: act?.hex, failed: act?.failed, exit: await started.exited };
}

const touchBy = (touches: () => MemoryRecord[], pid: number): Promise<MemoryRecord> =>
  until(`a touch by ${pid}`, () => touches().find((each) => each.pid === pid));

const WAYS: readonly { name: string; what: string; operation: string; who?: (target: Target) => string }[] = [
  { name: "readv", what: "process_vm_readv", operation: "vm-read" },
  { name: "mem", what: "/proc/PID/mem", operation: "mem-read" },
  {
    name: "mem",
    what: "/proc/PID/task/TID/mem",
    operation: "mem-read",
    who: ({ pid, tids }) => `/proc/${pid}/task/${tids[1]}/mem`,
  },
  { name: "othermount", what: "a procfs of the reader's own", operation: "mem-read" },
  { name: "detached", what: "a procfs that is mounted nowhere", operation: "mem-read" },
  { name: "seize", what: "ptrace", operation: "peek" },
];

for (const { name, what, operation, who } of WAYS) {
  test(`${what} is seen`, async (t) => {
    const { target, records, touches } = await watching(t);
    const whom = who?.(target) ?? String(target.pid);
    const seen = await read(name, target, whom);
    assert.equal(seen.hex, target.secret);
    const touch = await touchBy(touches, seen.pid);
    assert.equal(touch.operation, operation);
    assert.equal(touch.action, "seen");
    assert.equal(touch.targetStartTime, readTwin(target.pid)?.process.startTime);
    const before = records.slice(0, records.indexOf(touch));
    const named = before.findLast((each) => each.kind === "process" && each.process.pid === seen.pid);
    assert.ok(named?.kind === "process", "who it was stands before what it did");
    assert.equal(named.process.comm, name);
  });
}

test("a descriptor that was opened before, and one that was taken out of another process", async (t) => {
  const early = await spawnTarget();
  t.after(() => early.stop());
  const holder = startAttack("mem", [early.pid, early.address, early.length, "--hold"]);
  t.after(() => holder.end());
  assert.equal((await holder.next()).did, "open");
  const { watch, touches } = await watching(t);
  protect(watch, early.pid);
  const fd = execFileSync("sh", ["-c", `for l in /proc/${holder.pid}/fd/*; do readlink $l | grep -q /mem && basename $l; done; true`], { encoding: "utf8" }).trim(); // prettier-ignore
  const taken = await read("getfd", early, holder.pid, [fd]);
  assert.equal(taken.hex, early.secret);
  assert.equal((await touchBy(() => touches(early.pid), taken.pid)).operation, "mem-read");
  holder.release();
  assert.equal((await holder.next()).hex, early.secret);
  assert.equal((await touchBy(() => touches(early.pid), holder.pid)).operation, "mem-read");
});

test("a child is watched from its fork on, an exec changes nothing, an exit ends it", async (t) => {
  const { target, touches } = await watching(t);
  const [child] = await target.fork();
  assert.ok(child !== undefined);
  assert.equal((await read("readv", target, child)).hex, target.secret);
  await until("the child's touch", () => touches(child)[0]);
  process.kill(child, "SIGKILL");
  await target.exec();
  const reader = await read("readv", target, target.pid);
  assert.equal(reader.hex, target.secret);
  assert.equal((await touchBy(touches, reader.pid)).operation, "vm-read");
});

test("a child that has its parent's memory still (vfork), and is protected itself, takes nothing from its parent", async (t) => {
  const { watch, records } = await watching(t);
  const parent = start(t, compile("vfork"), []);
  const place = JSON.parse(await lineOf(parent)) as {
    child: number;
    address: string;
    length: number;
    secret: string;
  };
  const touchOf = (target: number, by: number): Promise<MemoryRecord> =>
    touchBy(() => records.filter((each) => each.kind === "memory" && each.targetPid === target) as MemoryRecord[], by);
  protect(watch, parent.pid);
  protect(watch, place.child);
  const during = await read("readv", place, parent.pid);
  assert.equal(during.hex, place.secret);
  await touchOf(parent.pid, during.pid);
  parent.stdin?.write("go\n");
  assert.equal(await lineOf(parent), '{"ok":true}');
  const later = await read("readv", place, parent.pid);
  assert.equal(later.hex, place.secret);
  await touchOf(parent.pid, later.pid);
  const address = `0x${/^([0-9a-f]+)-/.exec(readFileSync(`/proc/${place.child}/maps`, "latin1"))?.[1]}`;
  const ofChild = await read("readv", { address, length: 8 }, place.child);
  assert.equal(ofChild.hex?.length, 16);
  await touchOf(place.child, ofChild.pid);
});

test("of a process whose first thread is gone, the others' memory is the same", async (t) => {
  const { watch, records } = await watching(t);
  const [python, script] = ["python3", "import threading,time,os,ctypes; threading.Thread(target=lambda: (print(os.getpid(), flush=True), time.sleep(60))).start(); ctypes.CDLL(None).pthread_exit(None)"]; // prettier-ignore
  const child = spawn(python, ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  await once(child.stdout, "data");
  const pid = child.pid!;
  await until(
    "its first thread is gone",
    () => /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8")) || undefined,
  );
  protect(watch, pid);
  const tid = execFileSync("ls", [`/proc/${pid}/task`], { encoding: "utf8" }).split("\n").find((each) => each !== "" && Number(each) !== pid); // prettier-ignore
  // A map of its own shows an address that can be read.
  const address = `0x${/^([0-9a-f]+)-/.exec(readFileSync(`/proc/${pid}/task/${tid}/maps`, "latin1"))?.[1]}`;
  const reader = await read("mem", { address, length: 8 }, `/proc/${pid}/task/${tid}/mem`);
  assert.equal(reader.hex?.length, 16);
  await until("its touch", () => records.find((each) => each.kind === "memory" && each.targetPid === pid));
});

test("who is no longer protected is not told", async (t) => {
  const { watch, target, touches } = await watching(t);
  assert.equal((await read("readv", target, target.pid)).hex, target.secret);
  await until("its touch", () => touches()[0]);
  watch.unprotect(target.pid);
  const before = touches().length;
  assert.equal((await read("readv", target, target.pid)).hex, target.secret);
  await sleep(QUIET_MS);
  assert.equal(touches().length, before);
});

test("who descends from the watch is spared, unless it is said otherwise; who is not is killed, unless its executable is exempt", async (t) => {
  const { watch, target, touches } = await watching(t, REFUSED);
  assert.equal((await read("readv", target, target.pid)).hex, target.secret);
  watch.enforce(true, process.pid);
  const { dev, ino } = statSync(compile("readv"));
  const stopped = await read("readv", target, target.pid);
  assert.equal(stopped.hex, undefined);
  assert.equal(stopped.exit.signal, "SIGKILL");
  const touch = await touchBy(touches, stopped.pid);
  assert.equal(touch.action, "killed");
  assert.deepEqual(touch.exeFile, { dev, inode: ino });
  watch.exempt(BigUint64Array.of(BigInt(dev), BigInt(ino)));
  const spared = await read("readv", target, target.pid);
  assert.equal(spared.hex, target.secret);
  assert.equal((await touchBy(touches, spared.pid)).action, "seen");
  watch.exempt(new BigUint64Array());
  assert.equal((await read("readv", target, target.pid)).exit.signal, "SIGKILL");
  watch.enforce(false);
  assert.equal((await read("readv", target, target.pid)).hex, target.secret);
});

test("a sign of life that comes while a reader is judged does not save that reader", async (t) => {
  const { watch, target } = await watching(t, REFUSED);
  watch.enforce(true, process.pid);
  const args = [target.pid, target.address, target.length, "readv", BEATEN].map(String);
  const storm = start(t, compile("storm"), args);
  let told: string | undefined;
  void lineOf(storm).then((line) => (told = line));
  while (told === undefined) {
    for (let beat = 0; beat < 100_000; beat++) watch.beat();
    await setImmediate();
  }
  assert.deepEqual(JSON.parse(told), { runs: BEATEN, killed: BEATEN, leaks: 0, bytes: 0, failed: 0 });
});

test("what a process says many times over is counted", async (t) => {
  const { target, touches } = await watching(t);
  const dd = spawn("dd", [`if=/proc/${target.pid}/mem`, "of=/dev/null", "bs=1", `skip=${Number(target.address)}`, "count=20000"], { stdio: "ignore" }); // prettier-ignore
  await once(dd, "exit");
  await sleep(QUIET_MS);
  const told = touches().filter(({ pid }) => pid === dd.pid);
  assert.ok(told.length >= 1 && told.length < 100, `${told.length} were told of some 20,000`);
});

test("what ps, top, pgrep and cat of cmdline do is nobody's business", async (t) => {
  const { target, touches } = await watching(t, REFUSED);
  for (const [command, args] of [
    ["ps", ["aux"]],
    ["top", ["-b", "-n1"]],
    ["pgrep", ["-f", "target"]],
    ["cat", [`/proc/${target.pid}/cmdline`]],
  ] as const)
    execFileSync(command, [...args], { stdio: "ignore" });
  await sleep(QUIET_MS);
  const kinds = new Set(touches().map(({ operation }) => operation));
  assert.ok(!kinds.has("unknown") && !kinds.has("mem-read") && !kinds.has("cmdline"), [...kinds].join(" "));
  assert.ok(touches().every(({ action }) => action === "seen"));
});

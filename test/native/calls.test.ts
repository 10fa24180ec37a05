// bpf/calls.bpf.c on the running kernel: who asks for something of a protected process is told, and nobody else.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { requireAddon, type Watch } from "../../src/native.ts";
import type { CallRecord, NativeRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { exitOf, lineOf, start, startNode, until } from "./child.ts";

const { addon } = requireAddon();

function open(t: TestContext): { watch: Watch; records: NativeRecord[]; calls: () => CallRecord[] } | undefined {
  const procfs = addon.openProcfs();
  const records: NativeRecord[] = [];
  const sources = { connector: true, files: false, memory: true, calls: true };
  const watch = addon.openWatch(sources, procfs, (batch) => void records.push(...decodeRecords(batch)));
  t.after(() => {
    watch.close();
    procfs.close();
  });
  const { live, reason } = watch.status().calls;
  if (!live) {
    t.skip(`it needs eBPF: ${reason}`);
    return undefined;
  }
  watch.listen(true);
  const calls = (): CallRecord[] => records.filter((record): record is CallRecord => record.kind === "call");
  return { watch, records, calls };
}

function startTimeOf(pid: number): bigint {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return BigInt(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? 0);
}

function protect(watch: Watch, pid: number): void {
  watch.protect(BigUint64Array.from([BigInt(pid), startTimeOf(pid), 0n]));
}

/** A node that does as it is told, one act a line, and says when it is done. */
function startActor(t: TestContext) {
  return startNode(
    t,
    `require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
       try { eval(line); console.log("done"); } catch (error) { console.log(error.code ?? error.message); }
     });`,
  );
}

async function act(actor: ReturnType<typeof startActor>, script: string): Promise<string> {
  actor.stdin?.write(`${script.replaceAll("\n", " ")}\n`);
  return lineOf(actor);
}

async function told(calls: () => CallRecord[], call: string, pid: number): Promise<CallRecord> {
  return until(`${call} by ${pid}`, () => calls().find((each) => each.call === call && each.pid === pid));
}

test("attach, process_vm_readv and pidfd_getfd, each by whom and on whom", async (t) => {
  const { watch, calls, records } = open(t) ?? {};
  if (watch === undefined || calls === undefined || records === undefined) return;
  const target = start(t, "sleep", ["1000"]);
  const stranger = start(t, "sleep", ["1000"]);
  const actor = startActor(t);
  protect(watch, target.pid);
  for (const pid of [stranger.pid, target.pid]) {
    await act(actor, `addon.attack.pidfdGetfd(${pid}, 0, 1)`);
    await act(actor, `addon.attack.processVmReadv(${pid}, 4096n, 8)`);
    await act(actor, `addon.attack.ptraceSeize(${pid}, 4096n, 8)`);
  }
  for (const call of ["getfd", "vm-read", "attach", "peek"]) {
    const { tid, targetPid, targetTid, targetStartTime } = await told(calls, call, actor.pid);
    assert.deepEqual(
      [tid, targetPid, targetTid, BigInt(targetStartTime)],
      [actor.pid, target.pid, target.pid, startTimeOf(target.pid)],
    );
  }
  assert.equal((await told(calls, "getfd", actor.pid)).argument, 0n);
  assert.deepEqual([...new Set(calls().map(({ targetPid }) => targetPid))], [target.pid]);
  // What was granted is told before that it was asked for.
  const asked = (call: string): number => records.findIndex((record) => record.kind === "call" && record.call === call);
  const traced = records.findIndex((record) => record.kind === "process-event" && record.event === "traced");
  assert.ok(traced >= 0 && traced < asked("attach"));
  const read = records.findIndex((record) => record.kind === "memory" && record.operation === "vm-read");
  assert.ok(read >= 0 && read < asked("vm-read"));
});

test("who asks in vain and becomes another program has asked as what it was", async (t) => {
  const { watch, calls, records } = open(t) ?? {};
  if (watch === undefined || calls === undefined || records === undefined) return;
  // A process has one tracer at most, so whoever comes second is refused. It ends first: what it traces ends with its leave.
  const tracer = startActor(t);
  const target = start(t, "sleep", ["1000"]);
  assert.equal(await act(tracer, `addon.attack.ptraceHold(${target.pid}, false)`), "done");
  protect(watch, target.pid);
  const actor = startActor(t);
  await act(actor, "0");
  actor.stdin?.write(
    `try { addon.attack.ptraceSeize(${target.pid}, 4096n, 8) } catch { addon.execWithCapabilities("/bin/sleep", ["1000"], [], []) }\n`,
  );
  const call = await told(calls, "attach", actor.pid);
  const exec = await until("the exec", () =>
    records.find(
      (record) =>
        record.kind === "process-event" &&
        record.event === "exec" &&
        record.pid === actor.pid &&
        record.timeNs > call.timeNs,
    ),
  );
  assert.ok(records.indexOf(call) < records.indexOf(exec));
});

test("a thread is its process, also one that is started later, and a child is its parent until told otherwise", async (t) => {
  const { watch, calls } = open(t) ?? {};
  if (watch === undefined || calls === undefined) return;
  const target = startActor(t);
  await act(target, "0");
  protect(watch, target.pid);
  const before = readdirSync(`/proc/${target.pid}/task`);
  await act(
    target,
    "globalThis.worker = new (require('node:worker_threads').Worker)('setInterval(() => {}, 1e6)', { eval: true })",
  );
  const tid = await until("a new thread", () =>
    readdirSync(`/proc/${target.pid}/task`).find((each) => !before.includes(each)),
  );
  const actor = startActor(t);
  await act(actor, `addon.attack.ptraceSeize(${tid}, 4096n, 8)`);
  const { targetPid, targetTid } = await told(calls, "attach", actor.pid);
  assert.deepEqual([targetPid, targetTid], [target.pid, Number(tid)]);

  await act(target, "globalThis.child = require('node:child_process').spawn('sleep', ['1000'])");
  const [child] = readFileSync(`/proc/${target.pid}/task/${target.pid}/children`, "latin1").trim().split(" ");
  const other = startActor(t);
  await act(other, `addon.attack.ptraceSeize(${child}, 4096n, 8)`);
  assert.equal((await told(calls, "attach", other.pid)).targetPid, Number(child));
  watch.unprotect(Number(child));
  const last = startActor(t);
  await act(last, `addon.attack.ptraceSeize(${child}, 4096n, 8)`);
  await act(last, `addon.attack.processVmReadv(${target.pid}, 4096n, 8)`);
  await told(calls, "vm-read", last.pid);
  assert.ok(!calls().some(({ call, pid }) => call === "attach" && pid === last.pid));
  await act(target, "child.kill('SIGKILL')");
});

test("a number means what it means to the caller, in its own pid namespace", async (t) => {
  const { watch, calls } = open(t) ?? {};
  if (watch === undefined || calls === undefined) return;
  // In the namespace the target is 2, and so is somebody else outside.
  const shell = start(t, "unshare", [
    "-pf",
    "--kill-child",
    "sh",
    "-c",
    "sleep 1000 & echo $!; read -r line; prlimit --core=0:0 --pid $!; echo done; read -r line",
  ]);
  const inside = Number(await lineOf(shell));
  const sleep = await until("the process inside", () =>
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .find((pid) => namespacePidsOf(pid)?.join() === `${pid},${inside}` && pid > shell.pid),
  );
  protect(watch, sleep);
  shell.stdin?.write("go\n");
  assert.equal(await lineOf(shell), "done");
  const limit = await until("the limit", () => calls().find(({ call }) => call === "core-limit"));
  assert.deepEqual([limit.targetPid, limit.argument], [sleep, 0n]);
});

function namespacePidsOf(pid: number): number[] | undefined {
  try {
    const line = /^NSpid:\t(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return line?.split("\t").map(Number);
  } catch {
    // Gone meanwhile.
    return undefined;
  }
}

test("nothing is told at the entry while it does not listen, nor after the process has ended", async (t) => {
  const { watch, calls } = open(t) ?? {};
  if (watch === undefined || calls === undefined) return;
  const target = start(t, "sleep", ["1000"]);
  const actor = startActor(t);
  protect(watch, target.pid);
  watch.listen(false);
  await act(actor, `addon.attack.processVmReadv(${target.pid}, 4096n, 8)`);
  watch.listen(true);
  await act(actor, `addon.attack.pidfdGetfd(${target.pid}, 0, 1)`);
  await told(calls, "getfd", actor.pid);
  // Hooks cost nobody anything, and are not taken off.
  assert.equal(
    calls().some(({ call }) => call === "vm-read"),
    !watch.status().callsAtEntry,
  );
  target.kill("SIGKILL");
  await exitOf(target);
  assert.equal(await act(actor, `addon.attack.processVmReadv(${target.pid}, 4096n, 8)`), "ESRCH");
  assert.equal(watch.status().calls.lost, 0);
});

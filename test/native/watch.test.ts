import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { requireAddon, WANT, type Procfs, type Watch, type WatchSources } from "../../src/native.ts";
import type { NativeRecord, ProcFileRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { exitOf, lineOf, start, startNode, until } from "./child.ts";
import { readTwin } from "./twin.ts";

const { addon } = requireAddon();

interface Watching {
  readonly watch: Watch;
  readonly procfs: Procfs;
  readonly records: NativeRecord[];
}

function open(t: TestContext, sources: WatchSources): Watching {
  const procfs = addon.openProcfs();
  const records: NativeRecord[] = [];
  const watch = addon.openWatch(sources, procfs, (batch) => {
    assert.ok(batch.length <= 1 << 20);
    records.push(...decodeRecords(batch));
  });
  t.after(() => {
    watch.close();
    procfs.close();
  });
  return { watch, procfs, records };
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Waits for the event and gives the process record that stood before it, if one did. */
function event(records: readonly NativeRecord[], name: string, pid: number) {
  return until(`${name} of ${pid}`, () =>
    records.find((record) => record.kind === "process-event" && record.event === name && record.pid === pid),
  ).then((found) => {
    assert.ok(found.kind === "process-event");
    return found;
  });
}

/** Lets a child that waits for a line go on once its exec was told: one that is gone by then cannot be read. */
async function goOn(child: ReturnType<typeof start>, records: readonly NativeRecord[]): Promise<void> {
  await event(records, "exec", child.pid);
  child.stdin?.write("go\n");
}

function actorBefore(records: readonly NativeRecord[], at: NativeRecord, pid: number) {
  const found = records
    .slice(0, records.indexOf(at))
    .findLast((record) => record.kind === "process" && record.process.pid === pid);
  assert.ok(found?.kind === "process", `a record of process ${pid} before its act`);
  return found.process;
}

function procFile(
  records: readonly NativeRecord[],
  path: string,
  wanted: (record: ProcFileRecord) => boolean = () => true,
) {
  return until(`an event of ${path}`, () =>
    records.find(
      (record): record is ProcFileRecord => record.kind === "proc-file" && record.path === path && wanted(record),
    ),
  );
}

/** Whether the watch's thread is SCHED_FIFO at the lowest priority: fields 41 and 40 of proc_pid_stat(5). */
function goesFirst(): boolean {
  const stats = readdirSync("/proc/self/task").map((tid) => readFileSync(`/proc/self/task/${tid}/stat`, "latin1"));
  const stat = stats.find((each) => each.includes("(rimon-watch)"));
  // It gives itself its name.
  if (stat === undefined) return false;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[38] === "1" && fields[37] === "1";
}

test("the watch goes before ordinary work, so that a brief process is still there to be read", async (t) => {
  const { records } = open(t, { connector: true, files: false });
  await until("the watch goes first", () => goesFirst() || undefined);
  // More busy loops than there are processors, and nothing here waits for the watch.
  for (let index = 0; index < 4; index++) start(t, "sh", ["-c", "while :; do :; done"]);
  const shell = start(t, "sh", ["-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"]);
  await exitOf(shell);
  await event(records, "exit", shell.pid);
  const execs = records.filter((record) => record.kind === "process-event" && record.event === "exec");
  const read = execs.filter((exec) => {
    const before = records[records.indexOf(exec) - 1];
    return exec.kind === "process-event" && before?.kind === "process" && before.process.pid === exec.pid;
  });
  assert.ok(execs.length >= 200, `${execs.length} execs`);
  // Without it about half are gone before they are read.
  assert.ok(read.length > execs.length * 0.9, `${read.length} of ${execs.length} were read`);
});

test("a watch that would run all the time steps back, and forward again when it is calm", async (t) => {
  const { watch } = open(t, { connector: false, files: true });
  watch.markProcfs("/proc");
  await until("the watch goes first", () => goesFirst() || undefined);
  const storm = `i=0; while :; do read -r x < /proc/self/stat; read -r x < /proc/self/auxv; done`;
  const readers = [0, 1, 2].map(() => start(t, "sh", ["-c", storm]));
  await until("the watch steps back", () => !goesFirst() || undefined);
  for (const reader of readers) reader.kill("SIGKILL");
  for (const reader of readers) await exitOf(reader);
  // Whether or not there is anything left to wake it.
  await until("the watch goes first again", () => goesFirst() || undefined);
});

test("fork, exec and exit of a child, named before it is gone", async (t) => {
  const { watch, records } = open(t, { connector: true, files: false });
  assert.equal(watch.status().connector.live, true);
  const child = start(t, "sh", ["-c", "read go; exec true some words"]);
  await goOn(child, records);
  const exit = await event(records, "exit", child.pid);
  const fork = await event(records, "fork", child.pid);
  assert.equal(fork.otherPid, process.pid);
  assert.equal(exit.code, 0);
  assert.ok(exit.timeNs > fork.timeNs);
  const execs = records.filter((r) => r.kind === "process-event" && r.event === "exec" && r.pid === child.pid);
  assert.equal(execs.length, 2);
  assert.ok(execs[0]);
  const shell = actorBefore(records, execs[0], child.pid);
  assert.equal(shell.parentPid, process.pid);
  assert.ok(shell.startTime > 0);
  assert.equal(watch.status().connector.unreadable, 0);
});

test("a wait status", async (t) => {
  const { records } = open(t, { connector: true, files: false });
  const child = start(t, "sh", ["-c", "exit 7"]);
  assert.equal((await event(records, "exit", child.pid)).code, 7 << 8);
});

test("threads that come and go are no events", async (t) => {
  const { records } = open(t, { connector: true, files: false });
  const child = startNode(t, `addon.attack.startThread(); addon.attack.startThread();`);
  await event(records, "exit", child.pid);
  const forks = records.filter((r) => r.kind === "process-event" && r.event === "fork" && r.otherPid === child.pid);
  assert.deepEqual(forks, []);
});

test("a ptrace of one thread, and its end", async (t) => {
  const decoy = startNode(t, `console.log(addon.attack.startThread()); process.stdin.resume();`);
  const tid = Number(await lineOf(decoy));
  const { records } = open(t, { connector: true, files: false });
  const tracer = start(t, "strace", ["-o", "/dev/null", "-p", String(tid)], { stdio: "ignore" });
  const attached = await event(records, "traced", decoy.pid);
  assert.equal(attached.otherPid, tracer.pid);
  assert.equal(attached.tid, tid);
  assert.deepEqual(actorBefore(records, attached, tracer.pid).cmdline?.slice(0, 2), ["strace", "-o"]);
  tracer.kill("SIGINT");
  await until("the end of it", () =>
    records.find((r) => r.kind === "process-event" && r.event === "traced" && r.pid === decoy.pid && r.otherPid === 0),
  );
});

test("a process that aborts is dumping, whatever its limits say", async (t) => {
  const { records } = open(t, { connector: true, files: false });
  const child = start(t, "sh", ["-c", "read go; ulimit -c 0; kill -ABRT $$"]);
  await goOn(child, records);
  const dumping = await event(records, "dumping", child.pid);
  assert.equal(actorBefore(records, dumping, child.pid).comm, "sh");
  assert.equal((await exitOf(child)).signal, "SIGABRT");
});

test("reads of another's memory files, by way of the process, of its thread, of a thread's number", async (t) => {
  const { watch, records } = open(t, { connector: false, files: true });
  const decoy = startNode(t, `console.log(addon.attack.startThread()); process.stdin.resume();`);
  const tid = Number(await lineOf(decoy));
  const { dev, pidNamespace } = watch.markProcfs("/proc");
  assert.equal(dev, statSync("/proc").dev);
  assert.equal(pidNamespace, readTwin(process.pid)?.process.pidNamespace);
  const startTime = readTwin(decoy.pid)?.process.startTime;
  const target = { targetPid: decoy.pid, targetStartTime: startTime, dev };
  for (const [path, wanted] of [
    [`/proc/${decoy.pid}/mem`, { file: "mem", ...target }],
    [`/proc/${decoy.pid}/task/${tid}/environ`, { file: "environ", ...target, targetTid: tid }],
    [`/proc/${tid}/auxv`, { file: "auxv", ...target, targetTid: tid }],
    [`/proc/${decoy.pid}/smaps_rollup`, { file: "smaps", ...target }],
  ] as const) {
    // The shell opens it itself and stays.
    const reader = start(t, "sh", ["-c", `exec 3<${path}; read word <&3; read end`]);
    const opened = await procFile(records, path, (record) => record.opened);
    const { kind, opened: _opened, read, written, ...rest } = opened;
    assert.ok(kind && !written && typeof read === "boolean");
    assert.deepEqual(rest, { ...wanted, pid: reader.pid, path });
    const actor = actorBefore(records, opened, reader.pid);
    assert.equal(actor.comm, "sh");
    assert.deepEqual(actor.cmdline?.slice(0, 2), ["sh", "-c"]);
  }
  await procFile(records, `/proc/${decoy.pid}/task/${tid}/environ`, (record) => record.read);
  const listing = start(t, "ls", [`/proc/${decoy.pid}/map_files`], { stdio: "ignore" });
  const listed = await procFile(records, `/proc/${decoy.pid}/map_files`);
  assert.equal(listed.pid, listing.pid);
  const writer = start(t, "sh", ["-c", `echo 0x33 >/proc/${decoy.pid}/coredump_filter`]);
  const written = await procFile(records, `/proc/${decoy.pid}/coredump_filter`, (record) => record.written);
  assert.equal(written.pid, writer.pid);
});

test("a process that reads itself is no news; neither are we", async (t) => {
  const { watch, procfs, records } = open(t, { connector: false, files: true });
  watch.markProcfs("/proc");
  const decoy = start(t, "sleep", ["1000"]);
  execFileSync("cat", ["/proc/self/maps"]);
  readFileSync(`/proc/${decoy.pid}/maps`);
  await procfs.scan(WANT.status | WANT.loader | WANT.cmdline);
  // What comes after it was seen: so all before it was looked at.
  execFileSync("cat", [`/proc/${decoy.pid}/environ`]);
  await procFile(records, `/proc/${decoy.pid}/environ`);
  const maps = records.filter(
    (r) => r.kind === "proc-file" && r.file === "maps" && (r.pid === r.targetPid || r.pid === process.pid),
  );
  assert.deepEqual(maps, []);
  assert.equal(
    records.some((r) => r.kind === "proc-file" && r.pid === process.pid),
    false,
  );
});

test("a private procfs gives no mark anything to report", async (t) => {
  const { watch, procfs, records } = open(t, { connector: false, files: true });
  assert.equal(procfs.isPrivate, true);
  watch.markProcfs("/proc");
  const reader = startNode(
    t,
    `const procfs = addon.openProcfs();
     (async () => {
       for (let i = 0; i < 20; i++) await procfs.scan(${WANT.status | WANT.loader});
       require("fs").readFileSync("/proc/${process.pid}/auxv");
     })();`,
  );
  // Reading the visible one is seen; the environ of every process before it was not.
  await procFile(records, `/proc/${process.pid}/auxv`, (record) => record.pid === reader.pid);
  assert.equal(
    records.some((record) => record.kind === "proc-file" && record.pid === reader.pid && record.file === "environ"),
    false,
  );
});

test("a setting written below /proc/sys", async (t) => {
  const { watch, records } = open(t, { connector: false, files: true });
  watch.markProcfs("/proc");
  const path = "/proc/sys/kernel/core_pattern";
  const value = readFileSync(path, "latin1");
  // The value that is there already.
  const writer = start(t, "tee", [path]);
  writer.stdin?.end(value);
  const written = await procFile(records, path);
  assert.deepEqual([written.file, written.written, written.pid, written.targetPid], ["sysctl", true, writer.pid, 0]);
  assert.equal(readFileSync(path, "latin1"), value);
});

test("a second procfs of our own pid namespace, mounted elsewhere", async (t) => {
  const { watch, records } = open(t, { connector: false, files: true });
  const folder = folderOf(t);
  const decoy = start(t, "sleep", ["1000"]);
  const mounter = start(t, "unshare", [
    "-m",
    "sh",
    "-c",
    `mount -t proc proc ${folder} && echo mounted && read go && head -c1 ${folder}/${decoy.pid}/environ >/dev/null; read end`,
  ]);
  assert.equal(await lineOf(mounter), "mounted");
  const { dev, pidNamespace } = watch.markProcfs(`/proc/${mounter.pid}/root${folder}`);
  assert.notEqual(dev, statSync("/proc").dev);
  assert.equal(pidNamespace, readTwin(process.pid)?.process.pidNamespace);
  // Twice does no harm.
  assert.deepEqual(watch.markProcfs(`/proc/${mounter.pid}/root${folder}`), { dev, pidNamespace });
  mounter.stdin?.write("go\n");
  const seen = await until("the read", () =>
    records.find((r) => r.kind === "proc-file" && r.file === "environ" && r.dev === dev && r.read),
  );
  assert.ok(seen.kind === "proc-file");
  assert.equal(seen.targetPid, decoy.pid);
  assert.equal(seen.targetStartTime, readTwin(decoy.pid)?.process.startTime);
});

test("a procfs of another pid namespace numbers its processes itself", async (t) => {
  const { watch, records } = open(t, { connector: false, files: true });
  const outer = start(t, "unshare", [
    "-m",
    "-p",
    "-f",
    "--mount-proc",
    "sh",
    "-c",
    `sleep 1000 & echo $!; read go; exec 3</proc/$!/environ; read end`,
  ]);
  const nested = Number(await lineOf(outer));
  const inner = await until("the first process of the namespace", () => {
    const text = readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, "latin1").trim();
    return text === "" ? undefined : Number(text);
  });
  const { dev, pidNamespace } = watch.markProcfs(`/proc/${inner}/root/proc`);
  assert.equal(pidNamespace, readTwin(inner)?.process.pidNamespace);
  assert.notEqual(pidNamespace, readTwin(process.pid)?.process.pidNamespace);
  outer.stdin?.write("go\n");
  const seen = await until("the read", () =>
    records.find(
      (r) =>
        r.kind === "proc-file" &&
        r.file === "environ" &&
        r.dev === dev &&
        r.opened &&
        actorBefore(records, r, r.pid).namespacePids?.at(-1) !== nested,
    ),
  );
  assert.ok(seen.kind === "proc-file" && seen.targetStartTime !== undefined);
  assert.equal(seen.targetPid, nested);
  // Who did it has our number.
  const actor = actorBefore(records, seen, seen.pid);
  assert.equal(actor.comm, "sh");
  assert.equal(actor.namespacePids?.length, 2);
});

test("what cannot be marked says why", (t) => {
  const { watch } = open(t, { connector: false, files: true });
  assert.throws(() => watch.markProcfs("/tmp"), { code: "ENODEV", message: /mark \/tmp: it must be on a procfs/ });
  assert.throws(() => watch.markProcfs("/nowhere"), { code: "ENOENT", message: /\/nowhere/ });
  assert.throws(() => watch.markFile("/nowhere"), { code: "ENOENT" });
  const { watch: without } = open(t, { connector: true, files: false });
  assert.throws(() => without.markProcfs("/proc"), { code: "EBADF", message: /not asked for/ });
  assert.equal(without.status().files.live, false);
});

test("a marked file: written by others, renamed over, written by us", async (t) => {
  const { watch, records } = open(t, { connector: false, files: true });
  const path = join(folderOf(t), "audit.log");
  writeFileSync(path, "first\n");
  const mark = watch.markFile(path);
  const { dev, ino } = statSync(path);
  assert.deepEqual(mark, { dev, inode: ino });
  appendFileSync(path, "ours\n");
  const writer = start(t, "sh", ["-c", `echo theirs >>${path}; read end`]);
  const found = await until("the write", () => records.find((record) => record.kind === "file"));
  assert.deepEqual(found, { kind: "file", dev, inode: ino, written: true, pid: writer.pid, path });
  assert.equal(actorBefore(records, found, writer.pid).comm, "sh");
  assert.equal(
    records.some((record) => record.kind === "file" && record.pid === process.pid),
    false,
  );
  watch.unmarkFile(path);
  watch.unmarkFile(path);
});

test("a marked file is given another mode, another name, another file in its place: by whom", async (t) => {
  const { watch, records } = open(t, { connector: false, files: true });
  const path = join(folderOf(t), "audit.log");
  const acts = [
    `chmod 0600, $path`,
    `rename $path, "$path.old"; rename "$path.old", $path`,
    `open my $new, ">", "$path.new"; rename "$path.new", $path`,
  ];
  for (const act of acts) {
    writeFileSync(path, "first\n");
    watch.markFile(path);
    renameSync(path, `${path}.ours`);
    renameSync(`${path}.ours`, path);
    const before = records.length;
    // It stays, so that it can be read however late.
    const actor = start(t, "perl", ["-e", `my $path = shift; ${act}; <STDIN>`, path]);
    const found = await until(act, () => records.slice(before).find((record) => record.kind === "file"));
    const { pid } = actor;
    assert.deepEqual(found, { kind: "file", dev: 0, inode: 0, written: false, pid, path: "" });
    assert.equal(actorBefore(records, found, pid).comm, "perl");
    watch.unmarkFile(path);
  }
});

test("a mount table that changes, until it is no longer watched", async (t) => {
  const { watch, records } = open(t, { connector: false, files: false });
  const folder = folderOf(t);
  const mounter = start(t, "unshare", [
    "-m",
    "sh",
    "-c",
    `echo ready; read go; mount -t tmpfs none ${folder}; echo mounted; read go; umount ${folder}; echo done; read end`,
  ]);
  assert.equal(await lineOf(mounter), "ready");
  watch.watchMounts(`/proc/${mounter.pid}/mountinfo`, 42);
  assert.throws(() => watch.watchMounts("/proc/self/mountinfo", 42), { code: "EEXIST" });
  mounter.stdin?.write("go\n");
  await until("the change", () => records.find((record) => record.kind === "mounts"));
  assert.deepEqual(records[0], { kind: "mounts", id: 42 });
  watch.unwatchMounts(42);
  watch.unwatchMounts(42);
  watch.watchMounts("/proc/self/mountinfo", 42);
});

test("JavaScript that does not take its batches loses records, and is told how many", async (t) => {
  const { watch, records } = open(t, { connector: true, files: false });
  // Each exec brings a process record of more than 4 KiB, so 16 MiB are full before the last.
  const script = `[ $1 -lt 4400 ] && exec sh -c "$0" "$0" $(($1 + 1)) "$2"; exit 0`;
  execFileSync("sh", ["-c", script, script, "0", "x".repeat(4096)]);
  const lost = await until("the loss", () => records.find((record) => record.kind === "lost"));
  assert.ok(lost.kind === "lost" && lost.source === "queue" && lost.count !== undefined && lost.count > 0);
  assert.equal(watch.status().dropped, lost.count);
  // And goes on.
  const child = start(t, "true", []);
  await event(records, "exit", child.pid);
});

test("what overflows the kernel's queue is told", async (t) => {
  const watcher = startNode(
    t,
    `const watch = addon.openWatch({ connector: false, files: true }, addon.openProcfs(), (batch) => {
       for (let at = 0; at < batch.length; at += new DataView(batch.buffer, batch.byteOffset + at).getUint32(4, true)) {
         if (batch[at] === 7) console.log(batch[at + 16], watch.status().files.lost);
       }
     });
     watch.markProcfs("/proc");
     console.log("marked");`,
  );
  assert.equal(await lineOf(watcher), "marked");
  watcher.kill("SIGSTOP");
  await until(
    "it to stop",
    () => /^State:\tT/m.test(readFileSync(`/proc/${watcher.pid}/status`, "latin1")) || undefined,
  );
  // Events of one process and file are merged, so it takes many processes: 16384 is the queue's size.
  const script = `i=0; while [ $i -lt 300 ]; do i=$((i + 1)); cat /proc/[1-9]*/stat; done >/dev/null 2>&1`;
  execFileSync("sh", ["-c", script]);
  watcher.kill("SIGCONT");
  assert.equal(await lineOf(watcher), "2 1");
});

test("without privileges there is the visible procfs, and sources that say why they are not", async (t) => {
  const child = startNode(
    t,
    `const procfs = addon.openProcfs();
     const watch = addon.openWatch({ connector: true, files: true }, procfs, () => {});
     const { connector, files } = watch.status();
     procfs.scan(255).then((batch) => {
       console.log(JSON.stringify({ isPrivate: procfs.isPrivate, found: batch.length > 0, connector: connector.reason, files: files.reason }));
       watch.close();
     });`,
    { uid: 65534, gid: 65534 },
  );
  const said = JSON.parse(await lineOf(child)) as Record<string, unknown>;
  assert.deepEqual([said["isPrivate"], said["found"]], [false, true]);
  assert.match(String(said["files"]), /^EPERM: fanotify_init/);
  // v6.6 lets anybody listen to the connector.
  assert.match(String(said["connector"] ?? "EPERM: process connector"), /^[A-Z]+: .*process connector/);
  assert.deepEqual(await exitOf(child), { code: 0, signal: null });
});

test("a callback that throws is an uncaught exception, and what is behind it still comes", async (t) => {
  const child = startNode(
    t,
    `let thrown = 0, batches = 0;
     process.on("uncaughtException", (error) => { if (error.message === "mine") thrown++; });
     const watch = addon.openWatch({ connector: true, files: false }, addon.openProcfs(), () => {
       batches++;
       if (batches < 3) throw new Error("mine");
       watch.close();
       console.log(thrown);
     });
     const tick = () => { if (batches < 3) require("child_process").execFile("true", () => setTimeout(tick, 20)); };
     tick();`,
  );
  assert.equal(await lineOf(child), "2");
  assert.deepEqual(await exitOf(child), { code: 0, signal: null });
});

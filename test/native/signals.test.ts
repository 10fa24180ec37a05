// bpf/signals.bpf.c on the running kernel: who sent a protected process a signal that matters.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { requireAddon, type Watch } from "../../src/native.ts";
import type { NativeRecord, SignalRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { compile } from "../fixtures/compile.ts";
import { exitOf, lineOf, start, until } from "./child.ts";

const { addon } = requireAddon();

interface Watching {
  readonly watch: Watch;
  readonly records: NativeRecord[];
  signals(): SignalRecord[];
}

function open(t: TestContext): Watching | undefined {
  const procfs = addon.openProcfs();
  const records: NativeRecord[] = [];
  const sources = { connector: true, files: false, signals: true };
  const watch = addon.openWatch(sources, procfs, (batch) => void records.push(...decodeRecords(batch)));
  t.after(() => {
    watch.close();
    procfs.close();
  });
  const { live, reason } = watch.status().signals;
  if (live) return { watch, records, signals: () => records.filter((record) => record.kind === "signal") };
  t.skip(`it needs eBPF: ${reason}`);
  return undefined;
}

function startTimeOf(pid: number): bigint {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return BigInt(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? 0);
}

/** A shell that is protected and ignores nothing. */
async function protectedShell(t: TestContext, { watch }: Watching, script = "echo ready; read -r line; eval $line") {
  const shell = start(t, "sh", ["-c", script]);
  assert.equal(await lineOf(shell), "ready");
  watch.protect(BigUint64Array.from([BigInt(shell.pid), startTimeOf(shell.pid), 0n]));
  return shell;
}

test("a signal that dumps core, before what comes of it, and by whom", async (t) => {
  const watching = open(t);
  if (watching === undefined) return;
  const { records, signals } = watching;
  const target = await protectedShell(t, watching);
  const startTime = Number(startTimeOf(target.pid));
  const sender = start(t, "sh", ["-c", `kill -QUIT ${target.pid}`]);
  await exitOf(sender);
  const sent = await until("the signal", () => signals().find(({ pid }) => pid === sender.pid));
  assert.deepEqual([sent.signal, sent.targetPid, sent.targetStartTime], [3, target.pid, startTime]);
  const end = await until("the end", () =>
    records.find((record) => record.kind === "process-event" && record.event === "exit" && record.pid === target.pid),
  );
  assert.ok(records.indexOf(sent) < records.indexOf(end));
  const by = records.slice(0, records.indexOf(sent)).findLast((record) => record.kind === "process");
  assert.equal(by?.kind === "process" ? by.process.pid : undefined, sender.pid);
});

test("SIGSTOP and SIGUSR1 from another are told; what it does to itself, and other signals, are not", async (t) => {
  const watching = open(t);
  if (watching === undefined) return;
  const { signals } = watching;
  const target = await protectedShell(
    t,
    watching,
    "trap : USR1 TERM; echo ready; while :; do read -r line; eval $line; done",
  );
  target.stdin?.write("kill -USR1 $$; echo sent\n");
  assert.equal(await lineOf(target), "sent");
  target.kill("SIGTERM");
  const sender = start(t, "sh", ["-c", `kill -TERM ${target.pid}; kill -USR1 ${target.pid}; kill -STOP ${target.pid}`]);
  await exitOf(sender);
  await until("SIGSTOP", () => signals().find(({ signal }) => signal === 19));
  assert.deepEqual(
    signals().map(({ pid, signal, targetPid }) => [pid, signal, targetPid]),
    [
      [sender.pid, 10, target.pid],
      [sender.pid, 19, target.pid],
    ],
  );
});

test("a fault of its own is nobody's signal", async (t) => {
  const watching = open(t);
  if (watching === undefined) return;
  const { records, signals } = watching;
  const target = await protectedShell(t, watching);
  target.stdin?.write("kill -SEGV $$\n");
  await until("the end", () =>
    records.find((record) => record.kind === "process-event" && record.event === "exit" && record.pid === target.pid),
  );
  assert.deepEqual(signals(), []);
});

test(
  "one that a 32-bit call queued under a false name",
  { skip: process.arch !== "x64" && "only x64 has two tables of calls" },
  async (t) => {
    const watching = open(t);
    if (watching === undefined) return;
    const target = await protectedShell(t, watching, "trap : USR1; echo ready; while :; do read -r line; done");
    const sender = start(t, compile("sigqueue32"), [String(target.pid), "10"]);
    assert.match(await lineOf(sender), /"did":"rt_sigqueueinfo"/);
    const sent = await until("the signal", () => watching.signals().find(({ pid }) => pid === sender.pid));
    assert.deepEqual([sent.signal, sent.targetPid], [10, target.pid]);
  },
);

test("one that a descriptor is set to send is told, and nobody is named for it", async (t) => {
  const watching = open(t);
  if (watching === undefined) return;
  const target = await protectedShell(t, watching, "trap : USR1; echo ready; while :; do read -r line; done");
  const set = [
    "import fcntl, os",
    "r, w = os.pipe()",
    "fcntl.fcntl(r, fcntl.F_SETOWN, int(os.sys.argv[1]))",
    "fcntl.fcntl(r, 10, 10)", // F_SETSIG, SIGUSR1
    "fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC | fcntl.fcntl(r, fcntl.F_GETFL))",
    "os.write(w, b'x')",
  ];
  await exitOf(start(t, "python3", ["-c", set.join("\n"), String(target.pid)]));
  const [sent] = await until("the signal", () => (watching.signals().length > 0 ? watching.signals() : undefined));
  assert.deepEqual([sent?.signal, sent?.targetPid, sent?.pid], [10, target.pid, 0]);
});

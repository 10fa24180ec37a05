// What is asked of the kernel and what is sent by signal: attacks that touch no memory and open no file.

import assert from "node:assert/strict";
import { after, before, test, type TestContext } from "node:test";
import { requireAddon } from "../../src/native.ts";
import { startAttack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { DEADLINE_MS, expectFinding, findingsAbout, identityOf } from "./expected.ts";

const NAME = "calls-victim";
const NOBODY = 65_534;
const SHELL = { comm: "sh", exe: "/usr/bin/dash" };
const lacking = whatIsLacking();
let rimon: Monitor;

/** Whether this node gives eBPF at all. */
function whatIsLacking(): string | undefined {
  const { addon } = requireAddon();
  const procfs = addon.openProcfs();
  const watch = addon.openWatch({ connector: false, files: false, calls: true, signals: true }, procfs, () => {});
  const { calls, signals } = watch.status();
  watch.close();
  procfs.close();
  return calls.live && signals.live ? undefined : `it needs eBPF: ${calls.reason ?? signals.reason}`;
}

before(async () => {
  rimon = startRimon({ args: ["--protect", `comm:${NAME}`] });
  await rimon.ready;
});
after(() => rimon.stop());

async function victim(options: Parameters<typeof spawnTarget>[0] = { name: NAME }): Promise<Target> {
  const target = await spawnTarget(options);
  after(() => target.stop());
  // Nothing is told of it until it is protected, which this shows.
  const told = (): boolean => findingsAbout(rimon, target.pid).some(({ rule }) => rule === "process-stopped");
  for (const deadline = Date.now() + DEADLINE_MS; !told() && Date.now() < deadline;) {
    await new Child("/bin/sh", ["-c", `kill -STOP ${target.pid}; kill -CONT ${target.pid}; sleep 0.1`]).exited;
  }
  assert.ok(told());
  return target;
}

function needsPrograms(name: string, run: (t: TestContext) => Promise<void>): void {
  test(name, { skip: lacking ?? false }, run);
}

needsPrograms("pidfd_getfd takes a descriptor", async () => {
  const target = await victim();
  const started = startAttack("getfd", [target.pid, 0, 1, 0]);
  await started.exited;
  const found = await expectFinding(rimon, {
    rule: "descriptor-taken",
    severity: "critical",
    technique: "pidfd-getfd",
    suspect: { pid: started.pid, comm: "getfd", exe: started.exe, brief: true },
    target: identityOf(target.pid),
  });
  assert.match(found.message, /asked for a copy of descriptor 0 of/);
});

needsPrograms("an attach that the kernel refuses is told as one that was tried", async () => {
  const target = await victim();
  const exe = startAttack("seize", [target.pid, target.address, target.length]);
  await exe.exited;
  const refused = new Child(exe.exe, [String(target.pid), target.address, String(target.length)], {
    uid: NOBODY,
    gid: NOBODY,
  });
  await refused.exited;
  const tried = await rimon.waitForFinding(
    "ptrace-attach",
    DEADLINE_MS,
    ({ suspect, target: on }) => suspect?.pid === refused.pid && on?.pid === target.pid,
  );
  assert.match(tried.message, /tried to attach to/);
  assert.equal(tried.sensor, "calls");
  // The one that was granted is one finding, and says that it was.
  const granted = rimon.findings().filter(({ rule, suspect }) => rule === "ptrace-attach" && suspect?.pid === exe.pid);
  assert.deepEqual(
    granted.map(({ message }) => / attached to /.test(message)),
    [true],
  );
});

needsPrograms("kill -ABRT: who sent it is named", async () => {
  const target = await victim();
  const identity = identityOf(target.pid);
  const shell = new Child("/bin/sh", ["-c", `kill -ABRT ${target.pid}`]);
  const { message } = await expectFinding(rimon, {
    rule: "core-dump",
    severity: "critical",
    technique: "core-dump",
    operation: "dump",
    suspect: { pid: shell.pid, ...SHELL, brief: true },
    target: identity,
  });
  assert.match(message, /SIGABRT from sh/);
});

needsPrograms("prlimit raises RLIMIT_CORE: by whom", async () => {
  const target = await victim({ name: NAME, core: 0 });
  const prlimit = new Child("prlimit", ["--core=unlimited:unlimited", "--pid", String(target.pid)]);
  await prlimit.exited;
  await expectFinding(rimon, {
    rule: "core-dump",
    severity: "critical",
    technique: "rlimit-core",
    operation: "loosen",
    suspect: { pid: prlimit.pid, comm: "prlimit", exe: "/usr/bin/prlimit", brief: true },
    target: identityOf(target.pid),
  });
});

needsPrograms("what a process does to itself and to others is no finding about it", async () => {
  const target = await victim();
  const strace = new Child("strace", ["-f", "-e", "trace=none", "true"]);
  await strace.exited;
  await target.command("thread");
  const sentinel = startAttack("getfd", [target.pid, 0, 1, 0]);
  await sentinel.exited;
  await rimon.waitForFinding("descriptor-taken", DEADLINE_MS, ({ suspect }) => suspect?.pid === sentinel.pid);
  const rules = findingsAbout(rimon, target.pid).map(({ rule }) => rule);
  assert.deepEqual([...new Set(rules)].sort(), ["descriptor-taken", "process-stopped"]);
});

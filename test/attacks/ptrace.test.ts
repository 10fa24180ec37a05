// ptrace, by the tools people really use and by bare programs.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startAttack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { DEADLINE_MS, expectFinding, identityOf, type Suspect } from "./expected.ts";

const NAME = "ptrace-victim";
let rimon: Monitor;

before(async () => {
  rimon = startRimon({ args: ["--protect", `comm:${NAME}`] });
  await rimon.ready;
});
after(() => rimon.stop());

async function victim(threads = 1): Promise<Target> {
  const target = await spawnTarget({ name: NAME, threads });
  after(() => target.stop());
  return target;
}

function attachedBy(suspect: Suspect, target: Target, technique = "ptrace"): Promise<unknown> {
  return expectFinding(rimon, {
    rule: "ptrace-attach",
    severity: "critical",
    technique,
    operation: "attach",
    suspect,
    target: identityOf(target.pid),
  });
}

test("gdb attaches and leaves", async () => {
  const target = await victim();
  const gdb = new Child("gdb", ["-p", String(target.pid), "-batch", "-nx", "-ex", "info registers"]);
  await attachedBy({ pid: gdb.pid, comm: "gdb", exe: "/usr/bin/gdb" }, target);
  await gdb.exited;
  const present = await rimon.waitForFinding("debugger-present", DEADLINE_MS, (f) => f.suspect?.pid === gdb.pid);
  assert.equal(present.severity, "high");
  assert.equal(present.target?.pid, target.pid);
  await target.command("thread");
});

test("gcore: the suspect is the gdb it runs", async () => {
  const target = await victim();
  const directory = temporaryDirectory("gcore");
  const gcore = new Child("gcore", ["-o", join(directory, "core"), String(target.pid)]);
  const { pid: gcorePid } = gcore;
  await attachedBy({ comm: "gdb", exe: "/usr/bin/gdb" }, target);
  const found = await rimon.waitForFinding("ptrace-attach", DEADLINE_MS, (f) => f.target?.pid === target.pid);
  assert.ok(
    found.suspect?.ancestry?.some(({ pid }) => pid === gcorePid),
    JSON.stringify(found.suspect),
  );
  assert.equal((await gcore.exited).code, 0, gcore.stderr);
  assert.ok(existsSync(join(directory, `core.${target.pid}`)), "the core file is there: the attack was a real one");
});

test("strace -p", async () => {
  const target = await victim();
  const strace = new Child("strace", ["-p", String(target.pid), "-e", "trace=none"]);
  await attachedBy({ pid: strace.pid, comm: "strace", exe: "/usr/bin/strace" }, target);
  await strace.stop("SIGTERM");
});

test("ltrace -p", async () => {
  const target = await victim();
  const ltrace = new Child("ltrace", ["-p", String(target.pid)]);
  await attachedBy({ pid: ltrace.pid, comm: "ltrace", exe: "/usr/bin/ltrace" }, target);
  const present = await rimon.waitForFinding("debugger-present", DEADLINE_MS, (f) => f.suspect?.pid === ltrace.pid);
  assert.equal(present.target?.pid, target.pid);
  await ltrace.stop("SIGTERM");
});

for (const name of ["seize", "attach"]) {
  test(`${name}: a program of nobody's`, async () => {
    const target = await victim();
    const started = startAttack(name, [target.pid, target.address, target.length]);
    assert.equal((await started.next()).hex, target.secret);
    await attachedBy({ pid: started.pid, comm: name, exe: started.exe, brief: true }, target);
  });

  test(`${name}: one thread only`, async () => {
    const target = await victim(3);
    const tid = target.tids[2]!;
    const started = startAttack(name, [tid, target.address, target.length]);
    assert.equal((await started.next()).hex, target.secret);
    await attachedBy({ pid: started.pid, comm: name, exe: started.exe, brief: true }, target, "ptrace-thread");
    await started.exited;
  });
}

test("a thread that was already traced when rimon started", async () => {
  const target = await spawnTarget({ name: "traced-before", threads: 2 });
  after(() => target.stop());
  const started = startAttack("seize", [target.tids[1]!, target.address, target.length, 60_000]);
  await started.next();
  const later = startRimon({ args: ["--protect", `pid:${target.pid}`] });
  after(() => later.stop());
  await expectFinding(later, {
    rule: "ptrace-attach",
    severity: "critical",
    technique: "ptrace-thread",
    suspect: { pid: started.pid, comm: "seize", exe: started.exe },
    target: identityOf(target.pid),
  });
  await started.end();
});

test("a process that traces its own child does nothing to anybody else", async () => {
  const target = await victim();
  const strace = new Child("strace", ["-f", "-e", "trace=none", "true"]);
  await strace.exited;
  // What came before this was judged before it.
  const sentinel = startAttack("seize", [target.pid, target.address, target.length]);
  await attachedBy({ pid: sentinel.pid, comm: "seize", exe: sentinel.exe, brief: true }, target);
  assert.deepEqual(
    rimon.findings().filter(({ rule, suspect }) => rule === "ptrace-attach" && suspect?.pid === strace.pid),
    [],
  );
});

// rimon holds the evidence and may kill: an attack on rimon itself is an attack like any other.

import assert from "node:assert/strict";
import { readdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Child } from "../fixtures/child.ts";
import { startAttack } from "../fixtures/attack.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget } from "../fixtures/target.ts";
import { DEADLINE_MS, expectFinding, identityOf } from "./expected.ts";

let rimon: Monitor;

before(async () => {
  rimon = startRimon({ config: 'protect: ["comm:self-victim"]\n' });
  await rimon.ready;
});
after(() => rimon.stop());

test("strace on rimon: seen, and rimon goes on", async () => {
  const strace = new Child("strace", ["-p", String(rimon.pid), "-e", "trace=none"]);
  await expectFinding(rimon, {
    rule: "ptrace-attach",
    severity: "critical",
    technique: "ptrace",
    suspect: { pid: strace.pid, comm: "strace", exe: "/usr/bin/strace" },
    target: identityOf(rimon.pid),
  });
  await strace.stop("SIGTERM");
});

test("a thread of rimon is traced", async () => {
  const other = readdirSync(`/proc/${rimon.pid}/task`)
    .map(Number)
    .find((tid) => tid !== rimon.pid);
  assert.ok(other !== undefined);
  const started = startAttack("seize", [other, "0x0", 1], "seize-rimon");
  await expectFinding(rimon, {
    rule: "ptrace-attach",
    severity: "critical",
    technique: "ptrace-thread",
    suspect: { pid: started.pid, comm: "seize-rimon", exe: started.exe, brief: true },
    target: identityOf(rimon.pid),
  });
  await started.exited;
});

test("the memory of rimon is opened", async () => {
  const started = startAttack("mem", [rimon.pid, "0x0", 1, "--hold"], "mem-rimon");
  await started.next();
  await expectFinding(rimon, {
    rule: "memory-read",
    severity: "critical",
    technique: "proc-mem",
    suspect: { pid: started.pid, comm: "mem-rimon", exe: started.exe },
    target: identityOf(rimon.pid),
  });
  await started.end();
});

test("rimon's configuration is written by somebody else", async () => {
  const path = join(rimon.stateDirectory, "rimon.yaml");
  const shell = new Child("/bin/sh", ["-c", `echo 'mode: off' >> ${path}; read -r line`]);
  const found = await expectFinding(rimon, {
    rule: "own-file-changed",
    severity: "high",
    technique: "configuration-file",
    suspect: { pid: shell.pid, comm: "sh", exe: "/usr/bin/dash" },
    target: undefined,
  });
  assert.equal(found.subject, path);
  shell.closeInput();
  await shell.exited;
});

test("rimon's configuration is opened to others by somebody else", async () => {
  const path = join(rimon.stateDirectory, "rimon.yaml");
  const shell = new Child("/bin/sh", ["-c", `chmod 666 ${path}; read -r line`]);
  const found = await rimon.waitForFinding("own-file-changed", DEADLINE_MS, ({ message }) => /its mode/.test(message));
  const { pid, comm, ancestry = [] } = found.suspect ?? assert.fail(found.message);
  assert.deepEqual([found.subject, comm], [path, "chmod"]);
  assert.ok(
    ancestry.some((each) => each.pid === shell.pid),
    String(pid),
  );
  shell.closeInput();
  await shell.exited;
});

test("the audit log is cut by somebody else", async () => {
  const path = join(rimon.stateDirectory, "audit.ndjson");
  truncateSync(path, 0);
  const found = await rimon.waitForFinding("own-file-changed", DEADLINE_MS, ({ subject }) => subject === path);
  assert.equal(found.severity, "critical");
  assert.equal(found.technique, "audit-file");
  assert.deepEqual([found.suspect?.pid, found.suspect?.comm], [process.pid, identityOf(process.pid).comm]);
});

test("SIGUSR1, which opens the inspector of any other Node program", async () => {
  process.kill(rimon.pid, "SIGUSR1");
  const { message } = await rimon.waitForFinding(
    "monitor-troubled",
    DEADLINE_MS,
    (f) => f.technique === "inspector-trouble",
  );
  assert.match(message, /SIGUSR1/);
  assert.ok(!rimon.stderr.includes("Debugger listening"), rimon.stderr);
});

test("after all of that rimon still sees what is done to others", async () => {
  const target = await spawnTarget({ name: "self-victim" });
  after(() => target.stop());
  const started = startAttack("mem", [target.pid, target.address, target.length, "--hold"]);
  await started.next();
  await rimon.waitForFinding("memory-read", DEADLINE_MS, (f) => f.target?.pid === target.pid);
  await started.end();
});

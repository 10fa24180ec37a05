// Debuggers by name, by their own bytes under any name, and programs that could be one.

import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Finding, Severity } from "../../src/finding.ts";
import { startAttack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { compile } from "../fixtures/compile.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { DEADLINE_MS, expectFinding, identityOf, type Identity, type Suspect } from "./expected.ts";

const NAME = "debug-victim";
let rimon: Monitor;
let target: Target;

before(async () => {
  target = await spawnTarget({ name: NAME });
  rimon = startRimon({ args: ["--protect", `pid:${target.pid}`] });
  await rimon.ready;
});
after(async () => {
  await target.stop();
  await rimon.stop();
});

function present(suspect: Suspect, severity: Severity, about?: Identity): Promise<Finding> {
  return expectFinding(rimon, {
    rule: "debugger-present",
    severity,
    technique: "debugger",
    operation: "run",
    suspect,
    target: about,
  });
}

for (const tool of ["gdb", "strace"]) {
  test(`${tool} by its own name, without a target`, async () => {
    const child = new Child(tool, tool === "gdb" ? ["-nx", "-q"] : ["cat"]);
    const { message } = await present({ pid: child.pid, comm: tool, exe: `/usr/bin/${tool}` }, "high");
    assert.match(message, new RegExp(`is ${tool}`));
    child.closeInput();
    await child.exited;
  });

  test(`${tool} under a harmless name`, async () => {
    const path = join(temporaryDirectory("renamed"), "log-rotator");
    copyFileSync(`/usr/bin/${tool}`, path);
    const child = new Child(path, tool === "gdb" ? ["-nx", "-q"] : ["cat"]);
    const { message } = await present({ pid: child.pid, comm: "log-rotator", exe: path }, "high");
    assert.match(message, new RegExp(`is ${tool} under the name log-rotator`));
    child.closeInput();
    await child.exited;
  });

  test(`${tool} under a harmless name on a protected process`, async () => {
    const path = join(temporaryDirectory("renamed"), "backup-agent");
    copyFileSync(`/usr/bin/${tool}`, path);
    const args = tool === "gdb" ? ["-nx", "-batch", "-p", String(target.pid)] : ["-p", String(target.pid)];
    const child = new Child(path, args);
    const about = identityOf(target.pid);
    await present({ pid: child.pid, comm: "backup-agent", exe: path }, "high", about);
    await expectFinding(rimon, {
      rule: "ptrace-attach",
      severity: "critical",
      technique: "ptrace",
      suspect: { pid: child.pid, comm: "backup-agent", exe: path },
      target: about,
    });
    await child.stop("SIGTERM");
  });
}

for (const [what, args] of [
  // The clock of the kernel: a virtual machine may have no counters.
  ["perf record", ["record", "--event", "cpu-clock", "--call-graph", "dwarf", "--output", "OUTPUT"]],
  ["perf trace", ["trace", "--output", "OUTPUT"]],
] as const) {
  test(`${what} on a protected process: before the first sample`, async () => {
    const output = join(temporaryDirectory("perf"), "output");
    const perf = new Child("perf", [
      ...args.map((arg) => (arg === "OUTPUT" ? output : arg)),
      "--pid",
      String(target.pid),
      "--",
      "sleep",
      "0.5",
    ]);
    const { message } = await present(
      { comm: "perf", exe: "/usr/bin/perf", pid: perf.pid },
      "high",
      identityOf(target.pid),
    );
    assert.match(message, /is perf, started with the pid of/);
    assert.equal((await perf.exited).code, 0, perf.stderr);
    assert.ok(existsSync(output), "the attack was a real one");
  });
}

test("a script called gcore is told by what the shell runs", async () => {
  const child = new Child("gcore", ["-o", join(temporaryDirectory("gcore"), "core"), String(target.pid)]);
  const { message } = await rimon.waitForFinding("debugger-present", DEADLINE_MS, (f) => f.suspect?.pid === child.pid);
  assert.match(message, /runs gcore/);
  await child.exited;
});

test("a program of nobody's that imports ptrace", async () => {
  const bystander = await spawnTarget({ name: "bystander" });
  after(() => bystander.stop());
  const output = "unknown-tool";
  const started = startAttack("seize", [bystander.pid, bystander.address, bystander.length, 60_000], output);
  const { message } = await present({ pid: started.pid, comm: output, exe: started.exe }, "medium");
  assert.match(message, /imports ptrace/);
  await started.end();
});

test("the same with a protected process among its arguments", async () => {
  const output = "unknown-tool-2";
  const started = startAttack("seize", [target.pid, target.address, target.length, 60_000], output);
  await present({ pid: started.pid, comm: output, exe: started.exe }, "high", identityOf(target.pid));
  await started.end();
});

test("one that is gone before its file could be read", async () => {
  const directory = temporaryDirectory("renamed");
  const started = new Map<number, string>();
  // It lives for less than a millisecond: now and then one is gone before even its process could be read.
  for (let attempt = 0; attempt < 10; attempt++) {
    const path = join(directory, `short-lived-${attempt}`);
    copyFileSync(compile("readv", { output: "short-lived" }), path);
    const child = new Child(path, []);
    await child.exited;
    started.set(child.pid, path);
  }
  const { suspect, severity } = await rimon.waitForFinding("debugger-present", DEADLINE_MS, (finding) =>
    started.has(finding.suspect?.pid ?? 0),
  );
  assert.equal(severity, "medium");
  assert.equal(suspect?.exe, started.get(suspect?.pid ?? 0));
});

test("names that only look like one, and programs that import nothing of the kind", async () => {
  const folder = join(temporaryDirectory("names"), "gdb");
  mkdirSync(folder);
  const copy = join(folder, "gdbus");
  copyFileSync("/usr/bin/cat", copy);
  const cat = new Child(copy, []);
  const editor = new Child("/bin/sh", ["-c", "read -r line", "gdb.txt"]);
  const marker = new Child("strace", ["cat"]);
  await present({ pid: marker.pid, comm: "strace", exe: "/usr/bin/strace" }, "high");
  for (const quiet of [cat, editor]) {
    assert.deepEqual(
      rimon.findings().filter(({ suspect }) => suspect?.pid === quiet.pid),
      [],
    );
  }
  for (const child of [cat, editor, marker]) {
    child.closeInput();
    await child.exited;
  }
});

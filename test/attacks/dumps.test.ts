// Core dumps, and everything that decides whether there is one. kernel.core_pattern is the node's: it is put back
// after each test that needs another, and when this process ends.

import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Finding } from "../../src/finding.ts";
import { Child } from "../fixtures/child.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target, type TargetOptions } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { DEADLINE_MS, expectFinding, findingsAbout, identityOf, type Expected } from "./expected.ts";

const NAME = "dumps-victim";
const CORE_PATTERN = "/proc/sys/kernel/core_pattern";
const originalPattern = readFileSync(CORE_PATTERN, "utf8");
process.once("exit", restorePattern);

let rimon: Monitor;

before(async () => {
  rimon = startRimon({ args: ["--protect", `comm:${NAME}`] });
  await rimon.ready;
});
after(() => rimon.stop());

async function victim(options: TargetOptions = {}): Promise<Target> {
  const target = await spawnTarget({ name: NAME, ...options });
  after(() => target.stop());
  return target;
}

function found(technique: string, operation: string, target: Target, suspect?: Expected["suspect"]): Promise<Finding> {
  const identity = identityOf(target.pid);
  return expectFinding(rimon, { rule: "core-dump", severity: "critical", technique, operation, suspect, target: identity });
} // prettier-ignore

const SIGNALS = [
  { signal: 6, name: "SIGABRT" },
  { signal: 11, name: "SIGSEGV" },
] as const;

for (const { signal, name } of SIGNALS) {
  test(`${name} with a core_pattern that pipes to a program`, async () => {
    const directory = temporaryDirectory("handler");
    const handler = join(directory, "handler");
    const core = join(directory, "core");
    writeFileSync(handler, `#!/bin/sh\ncat > ${core}.part\nmv ${core}.part ${core}\n`);
    chmodSync(handler, 0o755);
    const target = await victim({ core: 0 });
    const dumped = found("core-dump", "dump", target);
    const shell = new Child("/bin/sh", ["-c", `echo '|${handler}' > ${CORE_PATTERN}; read -r line`]);
    try {
      const written = await expectFinding(rimon, {
        rule: "core-dump",
        severity: "critical",
        technique: "core-pattern-write",
        operation: "write",
        suspect: { pid: shell.pid, comm: "sh", exe: "/usr/bin/dash" },
        target: undefined,
      });
      assert.equal(written.subject, "kernel.core_pattern");
      await rimon.waitForFinding(
        "core-dump",
        DEADLINE_MS,
        ({ operation, message, suspect }) =>
          operation === "change" && message.includes(`|${handler}`) && suspect?.pid === shell.pid,
      );
      shell.closeInput();
      await shell.exited;

      await target.command(`raise ${signal}`);
      assert.match((await dumped).message, /got a signal that dumps core|was ended by/);
      assert.equal((await target.exited).signal, name);
      await until(() => existsSync(core));
      // RLIMIT_CORE is 0, and the whole memory went to the program all the same.
      assert.ok(statSync(core).size > 0);
      assert.ok(readFileSync(core).includes(Buffer.from(target.secret, "hex")));
    } finally {
      restorePattern();
      shell.closeInput();
    }
  });
}

test("SIGABRT with RLIMIT_CORE 0 and a plain core_pattern: nothing is written, and it is told", async () => {
  const target = await victim({ core: 0 });
  const dumped = found("core-dump", "dump", target);
  await target.command("raise 6");
  assert.match((await dumped).message, /core_pattern|RLIMIT_CORE is 0/);
  await target.exited;
});

test("a death that dumps nothing is no finding", async () => {
  const target = await victim();
  const { pid } = target;
  await target.command("raise 15");
  await target.exited;
  const other = await victim({ core: 0 });
  await settled(other);
  const dumped = found("core-dump", "dump", other);
  await other.command("raise 3");
  await dumped;
  assert.deepEqual(findingsAbout(rimon, pid), []);
});

test("RLIMIT_CORE raised from outside with prlimit", async () => {
  const target = await victim({ core: 0 });
  await settled(target);
  const prlimit = new Child("prlimit", ["--core=unlimited:unlimited", "--pid", String(target.pid)]);
  assert.equal((await prlimit.exited).code, 0, prlimit.stderr);
  const { message } = await found("rlimit-core", "loosen", target);
  assert.match(message, /from 0 to unlimited/);
});

test("RLIMIT_CORE that the process raises itself", async () => {
  const target = await victim({ core: 0 });
  await settled(target);
  await target.command("core 4096");
  assert.match((await found("rlimit-core", "loosen", target)).message, /from 0 to 4096/);
});

test("coredump_filter written by somebody else", async () => {
  const target = await victim();
  await settled(target);
  const shell = new Child("/bin/sh", ["-c", `echo 0x7f > /proc/${target.pid}/coredump_filter; read -r line`]);
  await found("coredump-filter", "write", target, { pid: shell.pid, comm: "sh", exe: "/usr/bin/dash" });
  const { message } = await found("coredump-filter", "loosen", target);
  assert.match(message, /to 0x7f/);
  shell.closeInput();
  await shell.exited;
});

test("a process that becomes dumpable", async () => {
  const target = await victim({ uid: 65534, gid: 65534, dumpable: false });
  await settled(target);
  await target.command("dumpable 1");
  await found("dumpable", "loosen", target);
});

/** Loosening is told from the view before it: waits until rimon has surely taken one. */
async function settled({ pid }: Target): Promise<void> {
  await sleep(2_500);
  assert.deepEqual(
    findingsAbout(rimon, pid).filter(({ rule }) => rule === "core-dump"),
    [],
  );
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `expected ${holds.toString()} within ${DEADLINE_MS} ms`);
    await sleep(20);
  }
}

function restorePattern(): void {
  if (readFileSync(CORE_PATTERN, "utf8") !== originalPattern) writeFileSync(CORE_PATTERN, originalPattern);
}

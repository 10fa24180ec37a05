// A pid is not an identity: processes exec, end, come back, and others take over their numbers.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Finding } from "../../src/finding.ts";
import { startAttack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { compile } from "../fixtures/compile.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { DEADLINE_MS, findingsAbout, identityOf, type Identity } from "./expected.ts";

const NAME = "life-victim";
const RESTARTS = 100;
let rimon: Monitor;
let exe: string;

before(async () => {
  exe = compile("target", { output: NAME });
  rimon = startRimon({ args: ["--protect", `exe:${exe}`] });
  await rimon.ready;
});
after(() => rimon.stop());

/** Opens the target's memory and stays; the finding must name exactly this incarnation. */
async function attacked(identity: Identity, address: string): Promise<void> {
  const started = startAttack("mem", [identity.pid, address, 32, "--hold"]);
  try {
    await started.next();
    const finding = await rimon.waitForFinding(
      "memory-read",
      DEADLINE_MS,
      ({ suspect }) => suspect?.pid === started.pid,
    );
    assert.equal(finding.target?.pid, identity.pid);
    assert.equal(finding.target.startTime, identity.startTime);
    assert.equal(finding.target.exe, exe);
    assert.equal(finding.suspect?.startTime, identityOf(started.pid).startTime);
  } finally {
    await started.end();
  }
}

async function victim(): Promise<Target> {
  const target = await spawnTarget({ name: NAME });
  after(() => target.stop());
  return target;
}

test("a protected process that runs its program anew stays protected", async () => {
  const target = await victim();
  await attacked(identityOf(target.pid), target.address);
  for (let round = 0; round < 5; round++) {
    await target.exec();
    await attacked(identityOf(target.pid), target.address);
  }
});

test("its children are protected from their first moment", async () => {
  const target = await victim();
  const pids = await target.fork(3);
  for (const pid of pids) await attacked(identityOf(pid), target.address);
});

test("one that becomes another program is protected no longer, and the other way round", async () => {
  const other = new Child("/bin/sh", ["-c", `read -r line; exec ${exe} 0 - - -`]);
  after(() => other.stop());
  const reader = startAttack("mem", [other.pid, "0x0", 1, "--open"]);
  await reader.exited;
  other.send("go");
  await other.takeLine(DEADLINE_MS);
  await attacked(identityOf(other.pid), "0x0");
  assert.deepEqual(
    rimon.findings().filter(({ suspect }) => suspect?.pid === reader.pid),
    [],
  );
});

test(`${RESTARTS} restarts: each is protected, and each attack is on the right one`, async () => {
  for (let round = 0; round < RESTARTS; round++) {
    const target = await spawnTarget({ name: NAME, threads: 0 });
    if (round % 10 === 9) await attacked(identityOf(target.pid), target.address);
    await target.stop();
  }
});

test("a pid that another protected process has taken over", async () => {
  const first = await victim();
  const old = identityOf(first.pid);
  await attacked(old, first.address);
  await first.stop();
  // Start times count ticks of 10 ms: within one, not even the kernel tells the two apart.
  await sleep(30);
  const { child, address } = await takeOver(old.pid, [exe, "0", "-", "-", "-"]);
  const now = identityOf(old.pid);
  assert.notEqual(now.startTime, old.startTime);
  await attacked(now, address);
  await child.stop("SIGKILL");
});

test("a pid that an unprotected process has taken over is nobody's", async () => {
  const first = await victim();
  const { pid } = first;
  await attacked(identityOf(pid), first.address);
  await first.stop();
  const before = new Set(findingsAbout(rimon, pid));
  const bystander = compile("target", { output: "life-bystander" });
  const { child, address } = await takeOver(pid, [bystander, "0", "-", "-", "-"]);
  const reader = startAttack("mem", [pid, address, 32]);
  assert.match((await reader.next()).hex ?? "", /^[0-9a-f]{64}$/);
  // What came before this was judged before it.
  const last = await victim();
  await attacked(identityOf(last.pid), last.address);
  // The monitors of other tests read what starts, and may be told of.
  const isOurs = ({ suspect }: Finding): boolean => suspect === undefined || suspect.pid === reader.pid;
  assert.deepEqual(
    findingsAbout(rimon, pid).filter((finding) => !before.has(finding) && isOurs(finding)),
    [],
  );
  await child.stop("SIGKILL");
});

/** Starts a target under a pid that has just become free; tries again while the kernel still holds it. */
async function takeOver(pid: number, command: readonly string[]): Promise<{ child: Child; address: string }> {
  for (const deadline = Date.now() + DEADLINE_MS; ;) {
    const child = new Child(compile("clone-with-pid"), [String(pid), ...command]);
    const line = JSON.parse(await child.takeLine(DEADLINE_MS)) as { pid: number; address: string; error?: string };
    if (line.error === undefined) {
      assert.equal(line.pid, pid);
      return { child, address: line.address };
    }
    await child.exited;
    assert.ok(line.error === "EEXIST" && Date.now() < deadline, `pid ${pid} cannot be taken over: ${line.error}`);
  }
}

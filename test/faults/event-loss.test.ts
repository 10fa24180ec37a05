// The kernel's queues overflow for real, while rimon is stopped: that is told, and what still holds is found.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test, type TestContext } from "node:test";
import type { Finding } from "../../src/finding.ts";
import { startAttack, type Attack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { compile } from "../fixtures/compile.ts";
import { isLive, startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { attachFound, DEADLINE_MS } from "./attach.ts";

/**
 * Each is a fork and an exit, and a call about the target: rimon's receive buffer of 32 MiB holds about 43,000 events, the
 * ring of its eBPF program some thousands.
 */
const FORKS = 60_000;
const HOLD_MS = 120_000;

let target: Target;
let rimon: Monitor;

before(async () => {
  target = await spawnTarget();
  rimon = startRimon({ config: `protect: ["pid:${target.pid}"]\nrespond: { critical: [], high: [] }\n` });
  await rimon.ready;
});

after(async () => {
  await rimon?.kill9();
  await target?.stop();
});

async function storm(program: string, ...args: number[]): Promise<number> {
  const child = new Child(compile(`../../faults/programs/${program}`, { output: program }), args.map(String));
  const done = Number(await child.takeLine(DEADLINE_MS * 2));
  assert.equal((await child.exited).code, 0, child.stderr);
  return done;
}

/** Does something while rimon is stopped, and lets it go on in every case. */
async function whileStopped<T>(act: () => Promise<T>): Promise<T> {
  process.kill(rimon.pid, "SIGSTOP");
  try {
    return await act();
  } finally {
    process.kill(rimon.pid, "SIGCONT");
  }
}

function start(t: TestContext, name: string, args: readonly (string | number)[]): Attack {
  const attack = startAttack(name, args);
  t.after(() => attack.end());
  return attack;
}

const blindFinding = (sensor: string): Promise<Finding> =>
  rimon.waitForFinding(
    "sensor-blind",
    DEADLINE_MS,
    ({ subject, technique }) => subject === sensor && technique === "event-loss",
  );

test("a storm of forks: the loss is told, and an attach that still holds is found by the sweep", async (t) => {
  const attack = await whileStopped(async () => {
    assert.equal(await storm("forkstorm", FORKS, 60, target.pid), FORKS);
    // The queue and the ring are full: of this attach the kernel tells nobody.
    const attach = start(t, "attach", [target.pid, target.address, 8, HOLD_MS]);
    assert.equal((await attach.next()).failed, undefined);
    return attach;
  });
  const blind = await blindFinding("proc-connector");
  assert.equal(blind.severity, "high");
  assert.match(blind.message, /proc-connector lost an unknown number of events: .*overflowed; a full scan follows/);

  if (isLive(await rimon.ready, "calls")) {
    const calls = await blindFinding("calls");
    const lost = Number(/^calls lost (\d+) events: the ring/.exec(calls.message)?.[1]);
    assert.ok(lost > FORKS / 2 && lost < FORKS, calls.message);
  }

  const found = await rimon.waitForFinding("ptrace-attach", DEADLINE_MS, ({ suspect }) => suspect?.pid === attack.pid);
  assert.equal(found.sensor, "process-table");
  assert.equal(found.target?.pid, target.pid);
  await attack.end();

  // It sees events again.
  const next = await attachFound(rimon, target);
  assert.equal(next.sensor, "proc-connector");
});

test("a storm of opens: the loss is told, and a descriptor of mem that is still held is found by the sweep", async (t) => {
  const limit = Number(readFileSync("/proc/sys/fs/fanotify/max_queued_events", "utf8"));
  assert.ok(limit <= 20_000, `fs.fanotify.max_queued_events is ${limit}, more than this test wants to fill`);
  const attack = await whileStopped(async () => {
    assert.equal(await storm("openstorm", target.pid, limit + 500, 60), limit + 500);
    const mem = start(t, "mem", [target.pid, target.address, 8, "--hold"]);
    assert.equal((await mem.next()).did, "open");
    return mem;
  });
  const blind = await blindFinding("fanotify");
  assert.match(blind.message, /fanotify lost an unknown number of events: .*overflowed/);

  const found = await rimon.waitForFinding("memory-read", DEADLINE_MS, ({ suspect }) => suspect?.pid === attack.pid);
  assert.equal(found.sensor, "descriptors");
  assert.equal(found.target?.pid, target.pid);
  attack.release();
  assert.equal((await attack.next()).hex, target.secret.slice(0, 16));
});

test("after all that rimon ends in order", async () => {
  assert.equal(await rimon.stop(), 0);
  assert.deepEqual(rimon.strayLines, []);
  assert.equal(rimon.stderr, "");
});

// Attackers who are gone before anything of them can be read: each is told.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { startAttack } from "../fixtures/attack.ts";
import { DEADLINE_MS } from "./attach.ts";

const ATTACKERS = 12;

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

test("attacks made and ended while rimon was stopped are findings, one each", async () => {
  const pids: number[] = [];
  process.kill(rimon.pid, "SIGSTOP");
  try {
    for (let count = 0; count < ATTACKERS; count++) {
      const attack = startAttack("attach", [target.pid, target.address, 8]);
      assert.equal((await attack.next()).failed, undefined);
      await attack.exited;
      pids.push(attack.pid);
    }
  } finally {
    process.kill(rimon.pid, "SIGCONT");
  }
  let traced = 0;
  for (const pid of pids) {
    const found = await rimon.waitForFinding("ptrace-attach", DEADLINE_MS, ({ evidence }) =>
      evidence.some((seen) => seen.kind === "ptrace.attached" && seen.tracerPid === pid),
    );
    assert.equal(found.suspect?.pid, pid);
    assert.equal(found.suspect?.startTime, -1);
    if (found.suspect?.ancestry?.[0]?.pid === process.pid) traced++;
    assert.match(found.message, new RegExp(`^process ${pid} \\(gone before it could be read\\) attached to `));
  }
  assert.ok(traced > 0, "who started them is known by their forks");
  assert.equal(await rimon.stop(), 0);
});

// Attackers who are gone before anything of them can be read: each is told, and by name where eBPF saw it start.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isLive, startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { startAttack } from "../fixtures/attack.ts";
import { DEADLINE_MS } from "./attach.ts";

const ATTACKERS = 12;

/** Without these no eBPF program can be loaded. */
const NO_EBPF = ["bpf", "perfmon", "sys_admin"];

/** A thread that waits for a processor has not stopped yet. */
async function untilStopped(pid: number): Promise<void> {
  const isStopped = (tid: string): boolean => /\) T /.test(readFileSync(`/proc/${pid}/task/${tid}/stat`, "latin1"));
  for (const deadline = Date.now() + DEADLINE_MS; !readdirSync(`/proc/${pid}/task`).every(isStopped); await sleep(1))
    if (Date.now() > deadline) throw new Error(`expected every thread of ${pid} to stop`);
}

for (const { what, without } of [
  { what: "with all it can have", without: [] },
  { what: "without eBPF", without: NO_EBPF },
]) {
  describe(what, () => {
    let target: Target;
    let rimon: Monitor;
    let named: boolean;

    before(async () => {
      target = await spawnTarget();
      rimon = startRimon({
        config: `protect: ["pid:${target.pid}"]\nrespond: { critical: [], high: [] }\n`,
        without,
      });
      named = isLive(await rimon.ready, "exec");
      if (without.length > 0) assert.equal(named, false);
    });

    after(async () => {
      await rimon?.kill9();
      await target?.stop();
    });

    it("tells of attacks made and ended while rimon was stopped, one finding each", async () => {
      const pids: number[] = [];
      process.kill(rimon.pid, "SIGSTOP");
      try {
        await untilStopped(rimon.pid);
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
        if (found.suspect?.ancestry?.[0]?.pid === process.pid) traced++;
        if (named) {
          assert.equal(found.suspect?.comm, "attach");
          assert.match(found.suspect?.exe ?? "", /\/attach$/);
          assert.ok((found.suspect?.startTime ?? 0) > 0);
        } else {
          assert.equal(found.suspect?.startTime, -1);
          assert.match(found.message, new RegExp(`^process ${pid} \\(gone before it could be read\\) attached to `));
        }
      }
      assert.ok(traced > 0, "who started them is known by their forks");
      assert.equal(await rimon.stop(), 0);
    });
  });
}

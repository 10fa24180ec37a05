// A protected program that is started again and again: each of its processes is protected, under its own start time.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { compile } from "../fixtures/compile.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget } from "../fixtures/target.ts";
import { attachFound } from "./attach.ts";

const RESTARTS = 100;
const NAME = "restarter";
/** Descriptors that come and go with passes, children and connections. */
const FD_SLACK = 8;

let rimon: Monitor;

before(async () => {
  rimon = startRimon({
    config: `protect: ["exe:${compile("target", { output: NAME })}"]\nrespond: { critical: [], high: [] }\n`,
  });
  await rimon.ready;
});

after(async () => {
  await rimon?.kill9();
});

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

function startTimeOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
}

test(`${RESTARTS} restarts, attached to at random`, async () => {
  const first = await spawnTarget({ name: NAME });
  await attachFound(rimon, first);
  await first.stop();
  const before = descriptorsOf(rimon.pid);

  let attached = 0;
  for (let restart = 0; restart < RESTARTS; restart++) {
    const target = await spawnTarget({ name: NAME });
    if (randomInt(3) === 0 || restart === RESTARTS - 1) {
      const { target: found } = await attachFound(rimon, target);
      assert.equal(found?.pid, target.pid);
      assert.equal(found.startTime, startTimeOf(target.pid));
      attached++;
    }
    await target.stop();
  }
  const findings = rimon.findings().filter(({ rule }) => rule === "ptrace-attach");
  assert.equal(findings.length, attached + 1);
  const now = descriptorsOf(rimon.pid);
  assert.ok(Math.abs(now - before) <= FD_SLACK, `${before} descriptors before, ${now} after`);
  assert.equal(await rimon.stop(), 0);
});

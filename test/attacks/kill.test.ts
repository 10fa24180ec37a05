// kill-suspect, for real: it ends our own child that traces our own child, and nobody else, ever.

import assert from "node:assert/strict";
import { closeSync, openSync, readSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Outcome, Verdict } from "../../src/finding.ts";
import { startAttack } from "../fixtures/attack.ts";
import { startRimon, type Monitor, type MonitorRecord } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { DEADLINE_MS } from "./expected.ts";

const IN_SCOPE = "kill-scoped";
const OUTSIDE = "kill-unscoped";
const HOLD_MS = 30_000;
let rimon: Monitor;
let killed: number | undefined;

before(async () => {
  rimon = startRimon({
    config: `
protect: ["comm:${IN_SCOPE}", "comm:${OUTSIDE}"]
respond: { critical: [kill-suspect], high: [kill-suspect] }
actions:
  kill-suspect: { enabled: true, scope: ["comm:${IN_SCOPE}"] }
`,
  });
  await rimon.ready;
});
after(() => rimon.stop());

async function victim(name: string): Promise<Target> {
  const target = await spawnTarget({ name });
  after(() => target.stop());
  return target;
}

function verdictAbout(pid: number, targetPid: number): Promise<Verdict> {
  return rimon.waitFor(
    (record): record is Verdict =>
      record.type === "verdict" &&
      record.finding.rule === "ptrace-attach" &&
      record.finding.suspect?.pid === pid &&
      record.finding.target?.pid === targetPid,
    DEADLINE_MS,
    "a verdict about the attacker",
  );
}

function outcomeOf(finding: string): Promise<Outcome> {
  const isIt = (record: MonitorRecord): record is Outcome =>
    record.type === "outcome" && record.finding === finding && record.action === "kill-suspect";
  return rimon.waitFor(isIt, DEADLINE_MS, "the outcome of kill-suspect");
}

test("in scope: the attacker is killed, the target lives", async () => {
  const target = await victim(IN_SCOPE);
  const bystander = await victim(IN_SCOPE);
  const attacker = startAttack("seize", [target.pid, target.address, target.length, HOLD_MS], "kill-attacker");
  killed = attacker.pid;
  await attacker.next();
  const verdict = await verdictAbout(attacker.pid, target.pid);
  assert.deepEqual(
    verdict.actions.filter(({ action }) => action === "kill-suspect"),
    [{ action: "kill-suspect", allowed: true }],
  );
  const outcome = await outcomeOf(verdict.finding.id);
  assert.equal(outcome.result, "done", outcome.message);
  assert.equal(outcome.details?.["pid"], attacker.pid);
  assert.deepEqual(await attacker.exited, { code: null, signal: "SIGKILL" });
  await target.command("thread");
  await bystander.command("thread");
});

test("outside of the scope: the attacker is left alone, and the verdict says why", async () => {
  const target = await victim(OUTSIDE);
  const attacker = startAttack("seize", [target.pid, target.address, target.length, HOLD_MS], "kill-attacker");
  await attacker.next();
  const verdict = await verdictAbout(attacker.pid, target.pid);
  const [kill] = verdict.actions.filter(({ action }) => action === "kill-suspect");
  assert.equal(kill?.allowed, false);
  assert.match(kill.reason ?? "", /outside of the scope of kill-suspect \(comm:kill-scoped\)/);
  await sleep(500);
  process.kill(attacker.pid, 0);
  assert.deepEqual(await attacker.end(), { code: null, signal: "SIGKILL" });
});

test("a protected process that attacks another one is not killed", async () => {
  const target = await victim(IN_SCOPE);
  const attacker = startAttack("seize", [target.pid, target.address, target.length, HOLD_MS], OUTSIDE);
  await attacker.next();
  const verdict = await verdictAbout(attacker.pid, target.pid);
  const [kill] = verdict.actions.filter(({ action }) => action === "kill-suspect");
  assert.equal(kill?.allowed, false);
  assert.match(kill.reason ?? "", /itself protected/);
  process.kill(attacker.pid, 0);
  await attacker.end();
});

test("rimon's own parents are not killed: this test reads the memory of its target", async () => {
  const target = await victim(IN_SCOPE);
  const memory = openSync(`/proc/${target.pid}/mem`, "r");
  assert.equal(readSync(memory, Buffer.alloc(32), 0, 32, Number(target.address)), 32);
  closeSync(memory);
  const verdict = await rimon.waitFor(
    (record): record is Verdict =>
      record.type === "verdict" && record.finding.rule === "memory-read" && record.finding.suspect?.pid === process.pid,
    DEADLINE_MS,
  );
  const [kill] = verdict.actions.filter(({ action }) => action === "kill-suspect");
  assert.equal(kill?.allowed, false);
  assert.match(kill.reason ?? "", /ancestor of rimon/);
});

test("nobody but the one attacker was signalled", () => {
  const done = rimon.records.flatMap((record) =>
    record.type === "outcome" && record.action === "kill-suspect" && record.result === "done" ? [record] : [],
  );
  // What it did is more than one finding, and each is answered.
  assert.deepEqual([...new Set(done.map(({ details }) => details?.["pid"]))], [killed]);
});

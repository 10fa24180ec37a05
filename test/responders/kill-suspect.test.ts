import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Finding } from "../../src/finding.ts";
import { requireAddon } from "../../src/native.ts";
import {
  ancestorsOf,
  createKillResponder,
  isKernelThread,
  type KillOptions,
} from "../../src/responders/kill-suspect.ts";
import { verdictOf } from "./verdicts.ts";

/** Records what would be signalled, and signals nothing. */
function harmless(answer: "sent" | "gone" | "reused" = "sent") {
  const signalled: [number, number, number][] = [];
  const addon = {
    signalProcess(...call: [number, number, number]) {
      signalled.push(call);
      return answer;
    },
  };
  return { signalled, addon };
}

function responder(options: Partial<KillOptions>) {
  return createKillResponder({
    addon: undefined,
    enabled: true,
    isProtected: () => false,
    inScope: () => true,
    ownPid: process.pid,
    ancestors: () => ancestorsOf(process.pid),
    isKernelThread: () => false,
    ...options,
  });
}

const SUSPECT = { pid: 4_000_000, startTime: 4711, comm: "gdb" };

test("SIGKILL goes to the pid with its start time", async () => {
  const { signalled, addon } = harmless();
  const outcome = await responder({ addon }).respond(verdictOf({ suspect: SUSPECT }));
  assert.deepEqual([outcome.result, outcome.message], ["done", "sent SIGKILL to gdb (4000000)"]);
  assert.deepEqual(signalled, [[4_000_000, 4711, 9]]);
});

const refusals: [name: string, options: Partial<KillOptions>, finding: Partial<Finding>, said: RegExp][] = [
  ["disabled", { enabled: false }, {}, /set actions.kill-suspect.enabled/],
  ["no addon", { addon: undefined }, {}, /the addon is missing/],
  ["out of scope", { inScope: () => false }, {}, /not in actions.kill-suspect.scope/],
  ["no start time", {}, { suspect: { ...SUSPECT, startTime: 0 } }, /start time of pid 4000000 is unknown/],
  ["an absurd start time", {}, { suspect: { ...SUSPECT, startTime: Number.NaN } }, /is unknown/],
  ["pid 0", {}, { suspect: { ...SUSPECT, pid: 0 } }, /expected the pid of a process, got 0/],
  ["a process group", {}, { suspect: { ...SUSPECT, pid: -5 } }, /got -5/],
  ["pid 1", {}, { suspect: { ...SUSPECT, pid: 1 } }, /pid 1 is never killed/],
  ["rimon itself", {}, { suspect: { ...SUSPECT, pid: process.pid } }, /does not kill itself/],
  ["a parent of rimon", {}, { suspect: { ...SUSPECT, pid: process.ppid } }, /is a parent of rimon/],
  ["a kernel thread", { isKernelThread: () => true }, {}, /is a kernel thread/],
  ["a protected process", { isProtected: (pid, start) => pid === SUSPECT.pid && start === 4711 }, {}, /is a protected/],
  ["the target itself", {}, { target: { ...SUSPECT, comm: "vault" } }, /is a protected process/],
];
for (const [name, options, finding, said] of refusals) {
  test(`refused: ${name}`, async () => {
    const { signalled, addon } = harmless();
    const outcome = await responder({ addon, ...options }).respond(verdictOf({ suspect: SUSPECT, ...finding }));
    assert.equal(outcome.result, "refused");
    assert.match(outcome.message, said);
    assert.deepEqual(signalled, []);
  });
}

test("refused: an unknown suspect", async () => {
  const { signalled, addon } = harmless();
  const { suspect: _unknown, ...finding } = verdictOf().finding;
  const outcome = await responder({ addon }).respond({ ...verdictOf(), finding });
  assert.deepEqual([outcome.result, outcome.message], ["refused", "the suspect is unknown"]);
  assert.deepEqual(signalled, []);
});

function blind(): never {
  throw new Error("EACCES");
}

test("a check that cannot be made is a failure, and nothing is signalled", async () => {
  const { signalled, addon } = harmless();
  for (const options of [{ isKernelThread: blind }, { ancestors: blind }, { isProtected: blind }, { inScope: blind }]) {
    const outcome = await responder({ addon, ...options }).respond(verdictOf({ suspect: SUSPECT }));
    assert.deepEqual([outcome.result, outcome.message], ["failed", "the suspect was not killed: EACCES"]);
  }
  assert.deepEqual(signalled, []);
});

test("who has ended is skipped, whoever has the pid now", async () => {
  for (const [answer, said] of [
    ["gone", "gdb (4000000) had already ended"],
    ["reused", "gdb (4000000) had already ended; its pid belongs to another process now"],
  ] as const) {
    const outcome = await responder({ addon: harmless(answer).addon }).respond(verdictOf({ suspect: SUSPECT }));
    assert.deepEqual([outcome.result, outcome.message], ["skipped", said]);
  }
});

test("a real child is killed, one with another start time is left alone", async () => {
  const { child, startTime } = await idle();
  const exited = once(child, "exit");
  const pid = child.pid ?? 0;
  const real = responder({ addon: requireAddon().addon, isKernelThread });
  const other = await real.respond(verdictOf({ suspect: { pid, startTime: startTime + 1, comm: "node" } }));
  assert.equal(other.result, "skipped", other.message);
  process.kill(pid, 0);
  const outcome = await real.respond(verdictOf({ suspect: { pid, startTime, comm: "node" } }));
  assert.deepEqual([outcome.result, outcome.message], ["done", `sent SIGKILL to node (${pid})`]);
  assert.deepEqual(await exited, [null, "SIGKILL"]);
  const again = await real.respond(verdictOf({ suspect: { pid, startTime, comm: "node" } }));
  assert.equal(again.result, "skipped");
});

test("parents and kernel threads are read from /proc", async () => {
  const ancestors = ancestorsOf(process.pid);
  assert.ok(ancestors.has(process.ppid));
  assert.ok(!ancestors.has(process.pid));
  assert.equal(isKernelThread(process.pid), false);
  // Pid 2 is kthreadd wherever the first pid namespace is seen.
  if (commOf(2) === "kthreadd") assert.equal(isKernelThread(2), true);
  const { child } = await idle();
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(isKernelThread(child.pid ?? 0), false);
});

function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

async function idle(): Promise<{ child: ChildProcess; startTime: number }> {
  const child = spawn(process.execPath, ["-e", "console.log(1); setInterval(() => {}, 1e6)"]);
  await once(child.stdout, "data");
  const stat = readFileSync(`/proc/${child.pid}/stat`, "utf8");
  return { child, startTime: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]) };
}

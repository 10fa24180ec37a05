// Code of a protected process that is changed and left so: by a debugger that was killed, by bare programs, by a probe.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Finding } from "../../src/finding.ts";
import { startAttack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { functionIn, untilChanged, type MappedFunction } from "../fixtures/code.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { DEADLINE_MS, expectFinding, findingsAbout, identityOf } from "./expected.ts";

const NAME = "code-victim";
const LIBRARY = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/libcrypto.so.3`;
const [BREAKPOINT, JUMP, OTHER] =
  process.arch === "arm64" ? ["000020d4", "00010014", "1f2003d5"] : ["cc", "e910203040", "0102030405"];
let rimon: Monitor;

before(async () => {
  rimon = startRimon({ args: ["--protect", `comm:${NAME}`] });
  await rimon.ready;
});
after(() => rimon.stop());

/** A target with a library whose functions it does not call, and one of them. */
async function victim(): Promise<Target & { place: MappedFunction }> {
  const target = await spawnTarget({ name: NAME });
  after(() => target.stop());
  await target.command(`dlopen ${LIBRARY}`);
  return Object.assign(target, { place: functionIn(target.pid, LIBRARY, "EVP_DecryptUpdate") });
}

function modified(target: Target, technique: string): Promise<Finding> {
  return expectFinding(rimon, {
    rule: "code-modified",
    severity: technique === "restored" ? "high" : "critical",
    technique,
    operation: technique === "restored" ? "restore" : "write",
    suspect: undefined,
    target: identityOf(target.pid),
  });
}

function patch({ pid, place }: Target & { place: MappedFunction }, hex: string, ...how: string[]) {
  return startAttack("patch", [pid, place.address, hex.length / 2, hex, ...how]);
}

test("gdb is killed and leaves its breakpoint behind", async () => {
  const target = await victim();
  const gdb = new Child("gdb", ["-p", String(target.pid), "-nx", "-q"]);
  gdb.send(`break *${target.place.address}`);
  gdb.send("continue");
  await untilChanged(target.pid, target.place, DEADLINE_MS);
  await gdb.stop("SIGKILL");
  // gdb has one of its own in the loader, which may be told first.
  const { message, evidence, technique, severity } = await rimon.waitForFinding(
    "code-modified",
    DEADLINE_MS,
    (finding) => finding.target?.pid === target.pid && finding.message.includes("EVP_DecryptUpdate"),
  );
  assert.deepEqual([technique, severity], ["breakpoint", "critical"]);
  assert.match(
    message,
    /of EVP_DecryptUpdate\+0x0 in \S+libcrypto\.so\.3 differs? from the file: found .*\(a breakpoint or uprobe\)/,
  );
  assert.equal(evidence[0]?.kind, "code-page.seen");
  assert.ok(identityOf(target.pid), "it lives on");
});

for (const [what, hex, how, technique, says] of [
  ["a breakpoint by ptrace, and the tracer is gone", BREAKPOINT, "ptrace", "breakpoint", "a breakpoint or uprobe"],
  ["a jump by ptrace", JUMP, "ptrace", "detour", "a jump was put there"],
  ["a jump through /proc/PID/mem", JUMP, "mem", "detour", "a jump was put there"],
] as const) {
  test(what, async () => {
    const target = await victim();
    const attack = patch(target, hex, how);
    assert.equal((await attack.next()).did, how);
    await attack.exited;
    const { message } = await modified(target, technique);
    assert.ok(message.endsWith(`(${says})`), message);
  });
}

test("bytes that are put back are told of too, and neither is told again", async () => {
  const target = await victim();
  const attack = patch(target, OTHER, "mem", "--back");
  await attack.next();
  await modified(target, "patch");
  attack.release();
  assert.equal((await attack.next()).did, "back");
  await modified(target, "restored");
  await sleep(2_500); // Two passes more.
  const told = findingsAbout(rimon, target.pid).filter(({ rule }) => rule === "code-modified");
  assert.deepEqual(told.map(({ technique, count }) => [technique, count]), [["patch", 1], ["restored", 1]]); // prettier-ignore
});

test("a probe on a function of a library", async () => {
  const target = await victim();
  const probe = startAttack("uprobe", [target.pid, LIBRARY, target.place.offset]);
  assert.equal((await probe.next()).failed, undefined);
  await modified(target, "breakpoint");
  // Asked for and set is one act, and no sampling; told of by eBPF only.
  const told = findingsAbout(rimon, target.pid).filter(({ suspect }) => suspect?.pid === probe.pid);
  assert.ok(told.length <= 1, told.map(({ message }) => message).join("; "));
  for (const { rule } of told) assert.equal(rule, "uprobe-set");
  probe.release();
  await probe.exited;
});

test("one that was changed before it was protected", async () => {
  const target = await spawnTarget({ name: "not-yet" });
  after(() => target.stop());
  await target.command(`dlopen ${LIBRARY}`);
  const place = functionIn(target.pid, LIBRARY, "EVP_DecryptUpdate");
  const attack = patch(Object.assign(target, { place }), JUMP, "mem");
  await attack.next();
  await target.command(`comm ${NAME}`);
  await modified(target, "detour");
});

test("nothing is found in a victim that nobody touches", async () => {
  const target = await victim();
  await target.fork(2);
  await sleep(2_500);
  for (const pid of [target.pid, ...target.children])
    assert.deepEqual(findingsAbout(rimon, pid).filter(({ rule }) => rule === "code-modified"), []); // prettier-ignore
});

// Mode enforce: who reads the memory of one named victim is killed before a byte comes out, and told; who is named as
// an exception is not; and where rimon does not answer, nobody is.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { appendFileSync, copyFileSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Finding, Verdict } from "../../src/finding.ts";
import { attack, startAttack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { compile } from "../fixtures/compile.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { until } from "../store/scratch.ts";
import { DEADLINE_MS, identityOf } from "./expected.ts";

/** Ten seconds without a sign of life, and what one pass may have given just before. */
const ASLEEP_MS = 12_000;

let victim: Child;
let place: { readonly pid: number; readonly address: string; readonly length: number };
let target: Target;
let spared: string;
let rimon: Monitor;

before(async () => {
  victim = new Child(compile("storm"), ["victim"]);
  place = JSON.parse(await victim.takeLine(DEADLINE_MS)) as typeof place;
  target = await spawnTarget({ name: "enforced" });
  spared = join(temporaryDirectory("spared"), "spared");
  copyFileSync(compile("readv"), spared);
  rimon = startRimon({ config: configOf() });
  await rimon.ready;
});
after(async () => {
  await rimon?.kill9();
  victim?.closeInput();
  await target?.stop();
});

function configOf(exception = ""): string {
  const both = [place.pid, target.pid].map((pid) => `"pid:${pid}"`);
  return `
mode: enforce
protect: [${both.join(", ")}]
respond: { critical: [], high: [] }
enforce: [${both.map((each) => `{ protect: ${each}, operations: [memory-read] }`).join(", ")}]
${exception}`;
}

function exceptionOf(digest: string): string {
  const expires = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
  return `exceptions: [{ rule: memory-read, suspect: { exe: ${spared}, sha256: "${digest}" }, reason: a reader of ours, expires: ${expires} }]`;
}

const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

async function reload(config: string): Promise<void> {
  const told = (): number =>
    rimon.stderr.split("\n").filter((line) => line.startsWith("configuration reloaded")).length;
  const earlier = told();
  writeFileSync(join(rimon.stateDirectory, "rimon.yaml"), config);
  process.kill(rimon.pid, "SIGHUP");
  await until("the configuration was reloaded", () => told() > earlier);
}

function findingBy(pid: number, operation: string): Promise<Finding> {
  return rimon.waitForFinding(
    "memory-read",
    DEADLINE_MS,
    (each) => each.suspect?.pid === pid && each.operation === operation,
  );
}

/** Runs one attacker to its end; what it said, if it lived to say anything, and its pid. */
async function attackOnce(name: string, args: readonly (string | number)[]) {
  const started = startAttack(name, args);
  const act = await started.next().catch(() => undefined);
  return { pid: started.pid, exe: started.exe, act, exit: await started.exited };
}

const READERS: readonly { name: string; technique: string; way: string; args?: () => string[] }[] = [
  { name: "readv", technique: "process-vm-readv", way: "process_vm_readv" },
  { name: "mem", technique: "proc-mem", way: "a descriptor of /proc/PID/mem" },
  {
    name: "mem",
    technique: "proc-mem",
    way: "a descriptor of /proc/PID/mem",
    args: () => [`/proc/${target.pid}/task/${target.tids[1]}/mem`],
  },
  { name: "othermount", technique: "proc-mem", way: "a descriptor of /proc/PID/mem" },
  { name: "detached", technique: "proc-mem", way: "a descriptor of /proc/PID/mem" },
  { name: "seize", technique: "ptrace-peek", way: "ptrace" },
];

for (const { name, technique, way, args } of READERS) {
  test(`${name}${args === undefined ? "" : " by way of a thread"} is killed, told by name, and in the audit log`, async () => {
    const [who] = args?.() ?? [target.pid];
    const { pid, exe, act, exit } = await attackOnce(name, [who!, target.address, target.length]);
    assert.equal(act, undefined);
    assert.equal(exit.signal, "SIGKILL");
    const found = await findingBy(pid, "read-stopped");
    assert.equal(found.severity, "critical");
    assert.equal(found.technique, technique);
    assert.equal(found.suspect?.comm, name);
    assert.equal(found.suspect?.exe, exe);
    assert.equal(found.suspect?.ancestry?.[0]?.pid, process.pid);
    const { comm, startTime } = identityOf(target.pid);
    assert.equal(found.target?.startTime, startTime);
    assert.equal(
      found.message,
      `${name} (${pid}, root) tried to read the memory of ${comm} (${target.pid}, root) by ${way}, and was killed before a page was fetched`,
    );
    await rimon.waitFor((each) => each.type === "verdict" && (each as Verdict).finding.id === found.id, DEADLINE_MS);
    const log = join(rimon.stateDirectory, "audit.ndjson");
    await until("its verdict is in the log", () => readFileSync(log, "utf8").includes(found.id));
  });
}

test("a reader that was forked and runs nothing of its own is told by its parent's file", async () => {
  const stormer = new Child(compile("storm"), [place.pid, place.address, place.length, "readv", 1].map(String));
  await stormer.takeLine(DEADLINE_MS);
  const found = await rimon.waitForFinding(
    "memory-read",
    DEADLINE_MS,
    ({ suspect }) => suspect?.ancestry?.[0]?.pid === stormer.pid,
  );
  assert.equal(found.suspect?.comm, "storm");
  assert.equal(found.suspect?.exe, compile("storm"));
  assert.equal(found.operation, "read-stopped");
});

test("a descriptor that was opened before it was enforced stays useless, handed on or not", async () => {
  const early = await spawnTarget({ name: "opened-early" });
  after(() => early.stop());
  const holder = startAttack("mem", [early.pid, early.address, early.length, "--hold"]);
  assert.equal((await holder.next()).did, "open");
  await reload(configOf().replaceAll(`"pid:${target.pid}"`, `"pid:${early.pid}"`));
  const links = readdirSync(`/proc/${holder.pid}/fd`);
  const fd = links.find((each) => readlinkSync(`/proc/${holder.pid}/fd/${each}`).endsWith("/mem"));
  const taken = await attackOnce("getfd", [holder.pid, early.address, early.length, fd!]);
  assert.equal(taken.act, undefined);
  await findingBy(taken.pid, "read-stopped");
  holder.release();
  assert.equal((await holder.exited).signal, "SIGKILL");
  await findingBy(holder.pid, "read-stopped");
  await reload(configOf());
});

test("children of the victim are as it is, and so is what it executes", async () => {
  const name = "enforce-forker";
  await reload(configOf().replaceAll(`"pid:${target.pid}"`, `"comm:${name}"`));
  const forker = await spawnTarget({ name });
  after(() => forker.stop());
  const stops = async (pid: number): Promise<boolean> =>
    (await attackOnce("readv", [pid, forker.address, forker.length])).exit.signal === "SIGKILL";
  await until("it is enforced", () => stops(forker.pid));
  const [child] = await forker.fork();
  assert.ok(await stops(child!), "at its fork");
  await sleep(1_500);
  assert.ok(await stops(child!), "and when it was read");
  await forker.exec();
  assert.ok(await stops(forker.pid));
  await reload(configOf());
});

test("who writes is stopped, too, and nothing is written", async () => {
  const args = ["if=/dev/zero", `of=/proc/${target.pid}/mem`, "bs=1", "count=1", `seek=${Number(target.address)}`, "conv=notrunc"]; // prettier-ignore
  const dd = new Child("dd", args);
  assert.equal((await dd.exited).signal, "SIGKILL");
  const found = await findingBy(dd.pid, "write-stopped");
  assert.match(found.message, /tried to write to the memory of .* and was killed before a page was fetched$/);
});

test("who only looks is not touched", async () => {
  const { pid } = target;
  for (const [command, args] of [
    ["cat", [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`, `/proc/${pid}/maps`, `/proc/${pid}/smaps`]],
    ["ps", ["aux"]],
    ["ps", ["e", "-p", String(pid)]],
    ["pgrep", ["-f", "enforced"]],
  ] as const) {
    const { code, signal } = await new Child(command, [...args]).exited;
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, command);
  }
});

test("an executable that an exception names with its digest is spared, until its file is another", async () => {
  const read = (): Promise<{ code: number | null; signal: string | null }> =>
    new Child(spared, [target.pid, target.address, target.length].map(String)).exited;
  assert.equal((await read()).signal, "SIGKILL");
  await reload(configOf(exceptionOf("0".repeat(64))));
  assert.equal((await read()).signal, "SIGKILL", "another digest");
  await reload(configOf(exceptionOf(digestOf(spared))));
  await until("it is spared", async () => (await read()).code === 0);
  // In place, and with a program behind it that runs as before.
  appendFileSync(spared, "0");
  await sleep(2_000);
  assert.equal((await read()).signal, "SIGKILL", "rewritten in place");
  await reload(configOf(exceptionOf(digestOf(spared))));
  await until("it is spared again", async () => (await read()).code === 0);
  await reload(configOf());
  assert.equal((await read()).signal, "SIGKILL", "without the exception");
});

test("whoever is excepted is spared from the first moment of the first process that is protected", async () => {
  const name = "enforced-later";
  const exe = compile("target", { output: name });
  const protect = `"exe:${exe}"`;
  const early = startRimon({
    config: `
mode: enforce
protect: [${protect}]
respond: { critical: [], high: [] }
enforce: [{ protect: ${protect}, operations: [memory-read] }]
${exceptionOf(digestOf(spared))}`,
  });
  try {
    await early.ready;
    const later = await spawnTarget({ name });
    after(() => later.stop());
    const words = [later.pid, later.address, later.length].map(String);
    await until("others are stopped", async () => (await attackOnce("readv", words)).exit.signal === "SIGKILL");
    assert.equal((await new Child(spared, words).exited).code, 0);
  } finally {
    await early.stop();
  }
});

test("a rimon that is stopped kills nobody after ten seconds, and says so when it goes on", async () => {
  process.kill(rimon.pid, "SIGSTOP");
  let reader;
  try {
    await sleep(ASLEEP_MS);
    reader = await attackOnce("readv", [target.pid, target.address, target.length]);
    assert.equal(reader.act?.hex, target.secret);
  } finally {
    process.kill(rimon.pid, "SIGCONT");
  }
  const found = await findingBy(reader.pid, "read-not-stopped");
  assert.match(found.message, /; it was to be killed, but rimon had given no sign of life$/);
  await until(
    "it is stopped again",
    async () => (await attackOnce("readv", [target.pid, target.address, target.length])).exit.signal === "SIGKILL",
  );
});

test("and one that was killed leaves nothing running", async () => {
  await rimon.kill9();
  const act = await attack("readv", target);
  assert.equal(act.hex, target.secret);
});

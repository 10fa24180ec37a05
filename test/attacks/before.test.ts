// What was there before rimon: tracers, descriptors, writable code and uprobes that real programs left or hold. All of it
// is told by the first pass, with whoever holds it.

import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Observation } from "../../src/observation.ts";
import { startAttack, type Attack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { functionIn, untilChanged } from "../fixtures/code.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { expectFinding, findingsAbout, identityOf, type Expected, type Suspect } from "./expected.ts";

const NAME = "earlier-victim";
const LIBCRYPTO = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/libcrypto.so.3`;
/** bpftrace compiles first. */
const SET_UP_MS = 60_000;

const folder = temporaryDirectory("before");
const recording = join(folder, "recording");
/** A file of its own, so that a probe on it is in nobody else's code. */
const library = join(folder, "libcrypto.so.3");
const targets: Target[] = [];
const attacks: Attack[] = [];
const holders: Child[] = [];

let traced: Target;
let debuggee: Target;
let read: Target;
let changed: Target;
let probed: Target;
let untouched: Target;
let rimon: Monitor;

async function victim(threads = 1): Promise<Target> {
  const target = await spawnTarget({ name: NAME, threads });
  targets.push(target);
  return target;
}

async function hold(program: string, ...args: (string | number)[]): Promise<Attack> {
  const attack = startAttack(program, args);
  attacks.push(attack);
  assert.equal((await attack.next()).failed, undefined);
  return attack;
}

function suspect({ pid, exe }: Attack): Suspect {
  return { pid, exe, comm: exe.slice(exe.lastIndexOf("/") + 1) };
}

let main: Attack;
let thread: Attack;
let tracing: Attack;
let opened: Attack;
let passed: Attack;
let elsewhere: Child;
let probe: Attack;
let bpftrace: Child;

before(async () => {
  copyFileSync(LIBCRYPTO, library);
  [traced, read, changed, probed, untouched] = await Promise.all([victim(3), victim(), victim(), victim(), victim()]);

  main = await hold("seize", traced.tids[0]!, traced.address, traced.length, 600_000);
  thread = await hold("attach", traced.tids[2]!, traced.address, traced.length, 600_000);
  debuggee = await victim();
  tracing = await hold("thread-tracer", debuggee.pid, debuggee.address, debuggee.length);

  opened = await hold("mem", read.pid, read.address, read.length, "--hold");
  passed = await hold("passed", read.pid, read.address, read.length);
  const proc = join(folder, "proc");
  mkdirSync(proc);
  const script = `mount -t proc proc ${proc} && exec 7<${proc}/${read.pid}/mem && umount -l ${proc} && echo held && exec cat`;
  elsewhere = new Child("unshare", ["-m", "sh", "-c", script]);
  holders.push(elsewhere);
  assert.equal(await elsewhere.takeLine(SET_UP_MS), "held");

  await changed.command("mprotect");

  await probed.command(`dlopen ${library}`);
  const { offset } = functionIn(probed.pid, library, "EVP_EncryptUpdate");
  probe = await hold("uprobe", probed.pid, library, offset, "--program");
  bpftrace = new Child("bpftrace", ["-e", `uprobe:${library}:EVP_DecryptUpdate { @ = count(); }`]);
  holders.push(bpftrace);
  await untilChanged(probed.pid, functionIn(probed.pid, library, "EVP_DecryptUpdate"), SET_UP_MS);

  rimon = startRimon({ args: ["--protect", `comm:${NAME}`, "--record", recording] });
  await rimon.ready;
});
after(async () => {
  for (const attack of attacks) await attack.end();
  for (const holder of holders) await holder.stop("SIGTERM");
  // Those that are traced end only once they are not.
  for (const target of targets) await target.stop();
  await rimon.stop();
});

/** The finding, of an observation that came before the first tick: that ends the pass behind the first. */
async function foundFirst(expected: Omit<Expected, "severity"> & Partial<Expected>, sensor: string): Promise<string> {
  const { evidence, message } = await expectFinding(rimon, { severity: "critical", ...expected });
  assert.equal(evidence[0]?.sensor, sensor);
  const lines = readFileSync(recording, "utf8").split("\n").slice(1);
  const recorded = lines.flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Observation]));
  const firstTick = recorded.findIndex(({ kind }) => kind === "tick");
  const before = recorded.slice(0, firstTick < 0 ? undefined : firstTick).map((each) => JSON.stringify(each));
  const { mappings: _, ...head } = evidence[0] as Observation & { mappings?: unknown };
  const isIt = (line: string): boolean =>
    Object.entries(head).every(([name, value]) => line.includes(`${JSON.stringify(name)}:${JSON.stringify(value)}`));
  assert.ok(before.some(isIt), JSON.stringify(head));
  return message;
}

test("the tracer of a process, and another of one of its threads", async () => {
  const expected = { rule: "ptrace-attach", operation: "attach", target: identityOf(traced.pid) };
  await foundFirst({ ...expected, technique: "ptrace", suspect: suspect(main) }, "process-table");
  await foundFirst({ ...expected, technique: "ptrace-thread", suspect: suspect(thread) }, "process-table");
});

test("a tracer that is a thread: its process is the one that is named", async () => {
  await foundFirst(
    {
      rule: "ptrace-attach",
      operation: "attach",
      technique: "ptrace",
      suspect: { ...suspect(tracing), comm: "thread-tracer" },
      target: identityOf(debuggee.pid),
    },
    "process-table",
  );
});

test("descriptors of its memory: opened, passed on, and by the procfs of another mount namespace", async () => {
  const expected = { rule: "memory-read", operation: "read", technique: "proc-mem", target: identityOf(read.pid) };
  await foundFirst({ ...expected, suspect: suspect(opened) }, "descriptors");
  await foundFirst({ ...expected, suspect: suspect(passed) }, "descriptors");
  const cat = { pid: elsewhere.pid, comm: "cat", exe: "/usr/bin/cat" };
  await foundFirst({ ...expected, technique: "proc-mem-other-mount", suspect: cat }, "descriptors");
});

test("memory that is writable and executable", async () => {
  const message = await foundFirst(
    {
      rule: "maps-changed",
      severity: "medium",
      technique: "writable-code",
      suspect: undefined,
      target: identityOf(changed.pid),
    },
    "address-space",
  );
  assert.match(message, /has code: anonymous memory \S+ is writable and executable \(rwxp\)$/);
});

test("uprobes, with file, function and holder", async () => {
  const expected = { rule: "uprobe-set", technique: "uprobe", operation: "probe", target: identityOf(probed.pid) };
  const message = await foundFirst({ ...expected, suspect: suspect(probe) }, "uprobes");
  assert.ok(message.includes(`holds a uprobe on EVP_EncryptUpdate+0x0 in ${library}, code of ${NAME}`), message);
  const by = { pid: bpftrace.pid, comm: "bpftrace", exe: "/usr/bin/bpftrace" };
  const other = await foundFirst({ ...expected, suspect: by }, "uprobes");
  assert.ok(other.includes(`holds a uprobe on EVP_DecryptUpdate+0x0 in ${library}, code of ${NAME}`), other);
});

test("nothing about one that nobody touched", () => {
  assert.deepEqual(findingsAbout(rimon, untouched.pid), []);
});

// /proc/PID/mem by every path that leads to it, and what else of /proc/PID gives something away.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, rmdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Finding, Severity } from "../../src/finding.ts";
import { attack, mountProcfs, startAttack, type Attack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { compile } from "../fixtures/compile.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { DEADLINE_MS, expectFinding, findingsAbout, identityOf, type Suspect } from "./expected.ts";

const NAME = "memory-victim";
/** A mark follows a mount within milliseconds; reading sooner than that is a race that the reader may win. */
const MOUNTED_BEFORE_S = 0.3;
/** Nobody is told of an unshare(2) without an exec: it is found by a look at every process now and then. */
const HIDDEN_MS = 8_000;
let rimon: Monitor;
let heldTarget: Target;
let holder: Attack;
let otherMountHolder: Child;
let namespacedHolder: Child;
let hidden: Attack;

before(async () => {
  heldTarget = await spawnTarget({ name: NAME });
  holder = startAttack("mem", [heldTarget.pid, heldTarget.address, heldTarget.length, "--hold"]);
  await holder.next();
  const script = `mount -t proc proc /mnt && exec 3< /mnt/${heldTarget.pid}/mem; umount -l /mnt; echo open; read -r line`;
  otherMountHolder = new Child("unshare", ["-m", "sh", "-c", script]);
  assert.equal(await otherMountHolder.takeLine(DEADLINE_MS), "open", otherMountHolder.stderr);
  const inside = `${underPid(heldTarget.pid)}; exec 3< /proc/${heldTarget.pid}/mem; echo open; read -r line`;
  namespacedHolder = new Child("unshare", ["-pfm", "--mount-proc", "--kill-child", "sh", "-c", inside]);
  assert.equal(await namespacedHolder.takeLine(DEADLINE_MS), "open", namespacedHolder.stderr);
  rimon = startRimon({ args: ["--protect", `comm:${NAME}`] });
  await rimon.ready;
  hidden = startAttack("othermount", [heldTarget.pid, heldTarget.address, heldTarget.length, HIDDEN_MS], "hidden");
});
after(async () => {
  for (const child of [otherMountHolder, namespacedHolder]) {
    child.closeInput();
    await child.exited;
  }
  await holder.end();
  await heldTarget.stop();
  await rimon.stop();
});

async function victim(): Promise<Target> {
  const target = await spawnTarget({ name: NAME });
  after(() => target.stop());
  return target;
}

function readBy(suspect: Suspect, target: Target, technique = "proc-mem", operation = "read"): Promise<Finding> {
  return expectFinding(rimon, {
    rule: "memory-read",
    severity: "critical",
    technique,
    operation,
    suspect,
    target: identityOf(target.pid),
  });
}

/** Opens mem by `path`, stays until that was found, and then reads the secret. */
async function readHeld(target: Target, path: string, technique: string, extra: readonly string[] = []): Promise<void> {
  const started = startAttack("mem", [path, target.address, target.length, "--hold", ...extra]);
  try {
    assert.equal((await started.next()).did, "open");
    await readBy({ pid: started.pid, comm: "mem", exe: started.exe }, target, technique);
    started.release();
    assert.equal((await started.next()).hex, target.secret);
  } finally {
    await started.end();
  }
}

/** One more read, which is found after everything that came before it was judged. */
async function sentinel(target: Target): Promise<number> {
  const started = startAttack("mem", [target.pid, target.address, target.length]);
  await readBy({ pid: started.pid, comm: "mem", exe: started.exe, brief: true }, target);
  return started.pid;
}

test("a descriptor that was open before rimon came", async () => {
  const found = await readBy({ pid: holder.pid, comm: "mem", exe: holder.exe }, heldTarget);
  assert.equal(found.sensor, "descriptors");
});

const PATHS: readonly { readonly way: string; readonly technique: string; path(target: Target): string }[] = [
  { way: "/proc/PID/mem", technique: "proc-mem", path: ({ pid }) => `/proc/${pid}/mem` },
  { way: "/proc/PID/task/TID/mem", technique: "proc-task-mem", path: ({ pid, tids }) => `/proc/${pid}/task/${tids[1]}/mem` },
  { way: "/proc/PID/task/PID/mem", technique: "proc-task-mem", path: ({ pid }) => `/proc/${pid}/task/${pid}/mem` },
  // No listing of /proc shows a thread, and yet it has a folder there.
  { way: "/proc/TID/mem", technique: "proc-task-mem", path: ({ tids }) => `/proc/${tids[1]}/mem` },
  { way: "the root of another process", technique: "proc-mem", path: ({ pid }) => `/proc/${process.pid}/root/proc/${pid}/mem` },
  { way: "a path that winds", technique: "proc-mem", path: ({ pid }) => `/proc/../proc/self/../${pid}/task/../mem` },
]; // prettier-ignore

for (const { way, technique, path } of PATHS) {
  test(`mem by ${way}`, async () => {
    const target = await victim();
    await readHeld(target, path(target), technique);
  });
}

test("mem by a relative path", async () => {
  const target = await victim();
  await readHeld(target, "mem", "proc-mem", ["--chdir", `/proc/${target.pid}`]);
});

test("an open alone, without a read", async () => {
  const target = await victim();
  const started = startAttack("mem", [target.pid, target.address, target.length, "--open"]);
  assert.equal((await started.next()).did, "open");
  await readBy({ pid: started.pid, comm: "mem", exe: started.exe, brief: true }, target);
});

test("cat and dd", async () => {
  const target = await victim();
  const cat = new Child("cat", [`/proc/${target.pid}/mem`]);
  await readBy({ pid: cat.pid, comm: "cat", exe: "/usr/bin/cat", brief: true }, target);
  const skip = `skip=${Number(target.address)}`;
  const from = [`if=/proc/${target.pid}/mem`, "bs=1", skip, `count=${target.length}`, "status=none"];
  const dd = new Child("dd", [...from, `of=${temporaryDirectory("dd")}/out`]);
  await readBy({ pid: dd.pid, comm: "dd", exe: "/usr/bin/dd", brief: true }, target);
  assert.equal((await dd.exited).code, 0, dd.stderr);
});

test("a shell that never execs: redirection and a builtin", async () => {
  const target = await victim();
  const shell = new Child("/bin/sh", ["-c", `: < /proc/${target.pid}/mem; read -r line`]);
  await readBy({ pid: shell.pid, comm: "sh", exe: "/usr/bin/dash" }, target);
  shell.closeInput();
  await shell.exited;
});

test("memory that is written to is another operation", async () => {
  const target = await victim();
  const dd = new Child("dd", ["if=/dev/zero", `of=/proc/${target.pid}/mem`, "bs=1", "count=1", `seek=${Number(target.address)}`, "conv=notrunc"]); // prettier-ignore
  await readBy({ pid: dd.pid, comm: "dd", exe: "/usr/bin/dd", brief: true }, target, "proc-mem", "write");
  assert.equal((await dd.exited).code, 0, dd.stderr);
});

test("a second procfs in this mount namespace, which can be unmounted while rimon watches it", async () => {
  const target = await victim();
  const mounted = await mountProcfs();
  try {
    const seen = await rimon.waitForFinding("procfs-mounted", DEADLINE_MS, (f) => f.subject === mounted.directory);
    assert.equal(seen.severity, "low");
    await readHeld(target, `${mounted.directory}/${target.pid}/mem`, "proc-mem-other-mount");
    await unmounted(mounted.directory);
  } finally {
    // Lazily, if it is still there.
    await mounted.unmount().catch((error: unknown) => {
      if (isMounted(mounted.directory)) throw error;
    });
  }
  assert.equal(isMounted(mounted.directory), false);
  rmdirSync(mounted.directory);
});

test("unshare -m with a procfs, and the usual tools in it", async () => {
  const target = await victim();
  const script = `mount -t proc proc /mnt && sleep ${MOUNTED_BEFORE_S}; head -c 1 /mnt/${target.pid}/mem; umount /mnt`;
  const unshared = new Child("unshare", ["-m", "sh", "-c", script]);
  await readBy({ comm: "head", exe: "/usr/bin/head", brief: true }, target, "proc-mem-other-mount");
  await unshared.exited;
});

test("the same number in another pid namespace is somebody else", async () => {
  const target = await victim();
  const paths = [target.pid, 1].flatMap((pid) => [`/proc/${pid}/mem`, `/proc/${pid}/environ`]);
  const script = `${underPid(target.pid)} && echo same; sleep ${MOUNTED_BEFORE_S}; cat ${paths.join(" ")}; kill $!`;
  const namespaced = new Child("unshare", ["-pfm", "--mount-proc", "--kill-child", "sh", "-c", script]);
  assert.equal(await namespaced.takeLine(DEADLINE_MS), "same", namespaced.stderr);
  await namespaced.exited;
  const last = await sentinel(target);
  assert.deepEqual(
    findingsAbout(rimon, target.pid).filter(({ suspect }) => suspect?.pid !== last),
    [],
  );
});

test("a protected process inside a pid namespace, read from within", async () => {
  const exe = compile("target", { output: NAME });
  const script = `${exe} 0 - - - < /dev/zero > /dev/null & sleep 0.3; cat /proc/$!/mem; kill $!`;
  const namespaced = new Child("unshare", ["-pfm", "--mount-proc", "--kill-child", "sh", "-c", script]);
  const found = await rimon.waitForFinding(
    "memory-read",
    DEADLINE_MS,
    ({ suspect }) => suspect?.ancestry?.some(({ pid }) => pid === namespaced.pid) === true,
  );
  assert.equal(found.suspect?.comm, "cat");
  assert.equal(found.target?.exe, exe);
  assert.equal(found.technique, "proc-mem-other-mount");
  await namespaced.exited;
});

test("descriptors held through a procfs of another namespace are told apart by their file, not by their path", () => {
  const about = findingsAbout(rimon, heldTarget.pid);
  const by = (pid: number) => about.filter(({ suspect }) => suspect?.ancestry?.some((each) => each.pid === pid));
  const held = about.filter(({ suspect }) => suspect?.pid === otherMountHolder.pid);
  assert.deepEqual(
    held.map(({ rule, technique, sensor }) => ({ rule, technique, sensor })),
    [{ rule: "memory-read", technique: "proc-mem-other-mount", sensor: "descriptors" }],
  );
  assert.deepEqual(by(namespacedHolder.pid), []);
});

const FILES: readonly { readonly file: string; readonly rule: string; readonly severity: Severity }[] = [
  { file: "environ", rule: "environ-read", severity: "medium" },
  { file: "maps", rule: "maps-read", severity: "low" },
  { file: "smaps", rule: "maps-read", severity: "low" },
  { file: "auxv", rule: "maps-read", severity: "low" },
  { file: "pagemap", rule: "maps-read", severity: "medium" },
];

for (const { file, rule, severity } of FILES) {
  test(`${file} read by head`, async () => {
    const target = await victim();
    const head = new Child("head", ["-c", "8", `/proc/${target.pid}/${file}`]);
    const suspect = { pid: head.pid, comm: "head", exe: "/usr/bin/head", brief: true };
    await expectFinding(rimon, { rule, severity, technique: rule, suspect, target: identityOf(target.pid) });
    await head.exited;
  });
}

test("a process that reads itself, and a reader of somebody else, are no findings", async () => {
  const target = await victim();
  const other = await spawnTarget({ name: "bystander" });
  after(() => other.stop());
  await attack("mem", other);
  await new Child("cat", ["/proc/self/environ", "/proc/self/maps", "/proc/self/mem"]).exited;
  await sentinel(target);
  assert.deepEqual(findingsAbout(rimon, other.pid), []);
  assert.equal(findingsAbout(rimon, target.pid).length, 1);
});

test("a procfs in a mount namespace that a running process made for itself", async () => {
  assert.equal((await hidden.next()).hex, heldTarget.secret);
  const suspect = { pid: hidden.pid, comm: "hidden", exe: hidden.exe };
  await readBy(suspect, heldTarget, "proc-mem-other-mount");
});

/** Shell for: something sleeps under this pid, in the pid namespace the shell runs in. */
function underPid(pid: number): string {
  const sleeper = `${compile("clone-with-pid")} ${pid} /bin/sleep 60 & sleep 0.2`;
  return `${sleeper}; grep -q ^Name:.sleep /proc/${pid}/status`;
}

/** Not lazily: nothing of rimon's may keep it busy. A reader that just ended may, for a moment. */
async function unmounted(directory: string): Promise<void> {
  for (const deadline = Date.now() + DEADLINE_MS; ;) {
    try {
      execFileSync("umount", [directory], { stdio: "pipe" });
      return;
    } catch (thrown) {
      if (Date.now() > deadline) throw thrown;
      await sleep(50);
    }
  }
}

function isMounted(directory: string): boolean {
  return readFileSync("/proc/self/mountinfo", "utf8").includes(` ${directory} `);
}

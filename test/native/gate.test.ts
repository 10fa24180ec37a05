// The exec gate of native/exec_gate.c on the running kernel, on a tmpfs of the test's own.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { compileGateTable, type GateTable } from "../../src/baselines/gate-table.ts";
import type { GateRule } from "../../src/configuration.ts";
import { GATE_MODE, requireFilesAddon } from "../../src/native.ts";
import { decodeRecords } from "../../src/records.ts";
import { compile } from "../fixtures/compile.ts";
import {
  EVIL,
  HUGE,
  NOBODY,
  TABLE,
  huge,
  knowing,
  mountOf,
  openGate,
  programs,
  run,
  scene,
  sha256Of,
  tmpfs,
  unmount,
} from "../fixtures/gate.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { exitOf, lineOf, start, startNode, until } from "./child.ts";

const REFUSED = 126;
const NOTHING = "0".repeat(64);
test("in mode enforce what is not known is refused with EPERM and told with its digest; what is known runs", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const { gate, told } = openGate(t, folder, knowing(known));
  assert.equal(run(good), 0);
  assert.equal(run(evil), REFUSED);
  const [record] = await until("the denial", () => (told().length > 0 ? told() : undefined));
  assert.ok(record !== undefined);
  const { pid, parentPid, startTime, file, by, comm, ...rest } = record;
  assert.ok(parentPid !== undefined && comm === "sh");
  assert.ok(pid > 0 && startTime !== undefined && file.inode > 0);
  assert.match(by, /sh$/);
  assert.deepEqual(rest, {
    kind: "gate",
    uid: 0,
    denied: true,
    mode: "enforce",
    reason: "rule",
    opened: false,
    sha256: sha256Of(evil),
    path: evil,
  });
  const { denied, allowed, wouldDeny, lockError } = gate.status();
  assert.deepEqual({ denied, wouldDeny, lockError }, { denied: 1, wouldDeny: 0, lockError: undefined });
  assert.ok(allowed > 0);
});

for (const mode of ["learn", "audit"] as const) {
  test(`in mode ${mode} it runs, and is told`, async (t) => {
    const { folder, evil, known } = scene(t);
    const { gate, told } = openGate(t, folder, knowing(known), GATE_MODE[mode]);
    assert.equal(run(evil), EVIL);
    const [record] = await until("what is told", () => (told().length > 0 ? told() : undefined));
    assert.deepEqual([record?.denied, record?.mode, record?.sha256], [false, mode, sha256Of(evil)]);
    assert.equal(gate.status().wouldDeny, 1);
  });
}

test("a gate that is closed lets everything run, as one without a table does", (t) => {
  const { folder, evil, known } = scene(t);
  const addon = requireFilesAddon();
  const gate = addon.openGate(() => undefined);
  const { dev } = gate.mark(0, folder, mountOf(folder), GATE_MODE.enforce, false);
  assert.equal(run(evil), EVIL);
  assert.throws(() => gate.load(Buffer.from("no table")), { code: "EINVAL" });
  gate.load(compileGateTable(knowing(known)));
  assert.equal(run(evil), REFUSED);
  gate.unmark(0, folder, dev);
  assert.equal(run(evil), EVIL);
  gate.close();
  assert.throws(() => gate.status(), { code: "EBADF" });
});

test("what is not the mount that is named is not marked: a path alone leads elsewhere once it is unmounted", (t) => {
  const { folder } = scene(t);
  const { gate } = openGate(t, folder, TABLE);
  const [below, beside] = [join(folder, "below"), tmpfs(t)];
  mkdirSync(below);
  for (const path of [below, beside])
    assert.throws(() => gate.mark(0, path, mountOf(folder), GATE_MODE.enforce, false), { code: "ENODEV" }, path);
  assert.throws(() => gate.mark(0, folder, mountOf(folder) + 1, GATE_MODE.enforce, false), { code: "ENODEV" });
});

test("a file system that comes to the number of one that is gone is marked anew", (t) => {
  const { gate } = openGate(t, tmpfs(t), TABLE);
  const folder = join(temporaryDirectory("gate-again"), "mounted");
  mkdirSync(folder);
  const numbers: number[] = [];
  for (let round = 0; round < 2; round++) {
    execFileSync("mount", ["-t", "tmpfs", "rimon-gate-test", folder]);
    try {
      const mark = () => gate.mark(0, folder, mountOf(folder), GATE_MODE.enforce, false);
      const { dev, isNew } = mark();
      numbers.push(dev);
      assert.deepEqual([isNew, mark()], [true, { dev, isNew: false }]);
      const evil = join(folder, "evil");
      copyFileSync(programs().evil, evil);
      assert.equal(gate.place(0, evil).isMarked, true);
      assert.equal(run(evil), REFUSED);
    } finally {
      unmount(folder);
    }
  }
  assert.equal(numbers.length, 2);
});

test("its deputy ends with it", (t) => {
  const children = () => readFileSync(`/proc/self/task/${process.pid}/children`, "latin1").split(" ").length;
  const before = children();
  const { gate } = openGate(t, tmpfs(t), TABLE);
  assert.equal(gate.status().hasDeputy, true);
  assert.equal(children(), before + 1);
  gate.close();
  assert.equal(children(), before);
});

interface Case {
  readonly name: string;
  readonly rules: readonly GateRule[];
  readonly otherwise?: "allow" | "deny";
  /** What becomes of the evil program, which nobody and everybody may write to, and of the good one, root's. */
  readonly evil: "runs" | "refused";
  readonly good: "runs" | "refused";
}

const onScene = (folder: string): readonly Case[] => [
  { name: "nothing", rules: [], otherwise: "allow", evil: "runs", good: "runs" },
  { name: "its owner", rules: [{ verdict: "deny", owner: NOBODY }], otherwise: "allow", evil: "refused", good: "runs" },
  {
    name: "its writers",
    rules: [{ verdict: "deny", writableBy: ["others"] }],
    otherwise: "allow",
    evil: "refused",
    good: "runs",
  },
  {
    name: "its owner as a writer",
    rules: [{ verdict: "deny", writableBy: ["owner"] }],
    otherwise: "allow",
    evil: "refused",
    good: "runs",
  },
  {
    name: "its group, which may not write",
    rules: [{ verdict: "deny", writableBy: ["group"] }],
    otherwise: "allow",
    evil: "runs",
    good: "runs",
  },
  { name: "its file system", rules: [{ verdict: "allow", filesystem: "tmpfs" }], evil: "runs", good: "runs" },
  { name: "another file system", rules: [{ verdict: "allow", filesystem: "xfs" }], evil: "refused", good: "refused" },
  { name: "who runs it", rules: [{ verdict: "allow", uid: 0 }], evil: "runs", good: "runs" },
  { name: "who does not run it", rules: [{ verdict: "allow", uid: 1 }], evil: "refused", good: "refused" },
  { name: "what runs it", rules: [{ verdict: "allow", by: readlink("/bin/sh") }], evil: "runs", good: "runs" },
  { name: "its folder", rules: [{ verdict: "allow", path: folder }], evil: "runs", good: "runs" },
  { name: "its path", rules: [{ verdict: "allow", path: join(folder, "good") }], evil: "refused", good: "runs" },
  {
    name: "the beginning of its name",
    rules: [{ verdict: "allow", path: join(folder, "goo") }],
    evil: "refused",
    good: "refused",
  },
  {
    name: "a list of digests",
    rules: [{ verdict: "deny", in: ["bad"] }],
    otherwise: "allow",
    evil: "refused",
    good: "runs",
  },
  {
    name: "all of a rule, the first that matches",
    rules: [
      { verdict: "deny", path: folder, owner: NOBODY },
      { verdict: "allow", path: folder },
    ],
    evil: "refused",
    good: "runs",
  },
];

function readlink(path: string): string {
  return execFileSync("readlink", ["-f", path], { encoding: "utf8" }).trim();
}

test("rules decide by", async (t) => {
  const { folder, good, evil } = scene(t);
  chownSync(evil, NOBODY, NOBODY);
  chmodSync(evil, 0o757);
  const { gate } = openGate(t, folder, TABLE);
  for (const { name, rules, otherwise = "deny", ...expected } of onScene(folder)) {
    await t.test(name, () => {
      const sets = new Map([["bad", [sha256Of(evil)]]]);
      gate.load(compileGateTable({ ...TABLE, rules, otherwise, sets }));
      assert.deepEqual(
        [run(evil), run(good)],
        [expected.evil === "runs" ? EVIL : REFUSED, expected.good === "runs" ? 0 : REFUSED],
      );
    });
  }
});

test("a path that only the mounts of who runs it have allows nothing", (t) => {
  const { folder, good, evil } = scene(t);
  openGate(t, folder, { ...TABLE, rules: [{ verdict: "allow", path: good }] });
  assert.equal(run(good), 0);
  assert.equal(run("unshare", "-m", "sh", "-c", 'mount --bind "$1" "$2"; "$2"', "sh", evil, good), REFUSED);
});

test("what is not read in time is answered as it is said to be, and everything else goes on", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const files = ["a", "b", "c", "d", "e", "f"].map((name) => huge(good, folder, name));
  const table: GateTable = { ...knowing(known), deadlineMs: 3_000, maxBytes: 2 * HUGE };
  const { gate, told } = openGate(t, folder, table);
  // Nothing of it is remembered, so that each is read.
  chownSync(good, NOBODY, NOBODY);
  const stuck = files.map((file) => start(t, "sh", ["-c", '"$0"; echo $?', file]));
  await until("every thread but the leader to be busy", () => (gate.status().busy === 3 ? true : undefined));
  // A known one waits behind those that are read, one that a rule decides does not.
  assert.equal(run(good), 0);
  assert.deepEqual(
    await Promise.all(stuck.map(lineOf)),
    files.map(() => "0"),
  );
  // Told after the answer, by another thread.
  const late = await until("each to be told", () => {
    const all = told().filter(({ reason }) => reason === "deadline");
    return all.length >= files.length ? all : undefined;
  });
  assert.ok(late.every(({ denied, error }) => !denied && error === "ETIMEDOUT"));
  // What was late is let go of, and the threads are there again.
  await until("the threads to be free", () => (gate.status().busy === 0 ? true : undefined));
  gate.load(compileGateTable({ ...table, unanswered: "deny" }));
  assert.equal(run(files[0] ?? ""), REFUSED);
  assert.equal(run(good), 0);
  assert.equal(run(evil), REFUSED);
  gate.load(compileGateTable({ ...table, maxBytes: 2 ** 20, unanswered: "deny" }));
  assert.equal(run(files[0] ?? ""), REFUSED);
  await until("it to be told as too large", () => told().find(({ reason }) => reason === "too-large"));
});

test("a gate closes while a file is read, and who waits goes on", async (t) => {
  const { folder, good, known } = scene(t);
  const file = huge(good, folder, "a");
  const { gate } = openGate(t, folder, { ...knowing(known), deadlineMs: 60_000, maxBytes: 2 * HUGE });
  const waits = start(t, "sh", ["-c", '"$0"; echo $?', file]);
  await until("it to be read", () => (gate.status().busy === 1 ? true : undefined));
  gate.close();
  assert.equal(await lineOf(waits), "0");
});

test("a gate that is killed while a program waits lets it run", async (t) => {
  const { folder, good, known } = scene(t);
  const file = huge(good, folder, "a");
  const table = compileGateTable({ ...knowing(known), deadlineMs: 60_000, maxBytes: 2 * HUGE });
  const agent = startNode(
    t,
    `const gate = addon.openGate(() => {});
    gate.load(Buffer.from(${JSON.stringify(table.toString("base64"))}, "base64"));
    gate.mark(0, ${JSON.stringify(folder)}, ${mountOf(folder)}, ${GATE_MODE.enforce}, false);
    console.log("ready");
    setInterval(() => { if (gate.status().busy === 1) console.log("reads"); }, 20);`,
  );
  assert.equal(await lineOf(agent), "ready");
  const waits = start(t, "sh", ["-c", '"$0"; echo $?', file]);
  assert.equal(await lineOf(agent), "reads");
  agent.kill("SIGKILL");
  assert.equal(await lineOf(waits), "0");
});

test("while JavaScript stands still everything is answered, and what there is no room to tell is counted", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const { gate, records, told } = openGate(t, folder, knowing(known));
  const done = join(folder, "done");
  const script = `i=0; while [ $i -lt 600 ]; do "$0" || exit 1; "$1" 2>/dev/null; [ $? = ${REFUSED} ] || exit 2; i=$((i+1)); done; echo all >"$2"`;
  const loop = start(t, "sh", ["-c", script, good, evil, done]);
  const still = new Int32Array(new SharedArrayBuffer(4));
  // Not a turn of the event loop until it is over.
  for (let i = 0; i < 600 && !readdirSync(folder).includes("done"); i++) Atomics.wait(still, 0, 0, 50);
  assert.equal(readFileSync(done, "utf8"), "all\n");
  assert.equal((await exitOf(loop)).code, 0);
  assert.equal(gate.status().denied, 600);
  await until("what was told", () => (told().length >= 512 ? true : undefined));
  await sleep(50);
  const lost = records.filter((each) => each.kind === "lost");
  const count = lost.reduce((sum, each) => sum + (each.count ?? 0), 0);
  assert.deepEqual([told().length + count, gate.status().lost, lost[0]?.source], [600, count, "gate"]);
});

test("a storm of programs, while tables change, is answered to the last", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const { gate } = openGate(t, folder, knowing(known));
  const script = `i=0; while [ $i -lt 400 ]; do cp "$0" "$2"; "$2" || exit 1; "$1" 2>/dev/null; [ $? = ${REFUSED} ] || exit 2; i=$((i+1)); done`;
  const storms = ["x", "y"].map((name) => start(t, "sh", ["-c", script, good, evil, join(folder, name)]));
  const tables = [knowing(known), knowing(known, NOTHING)].map(compileGateTable);
  let over = false;
  const ended = Promise.all(storms.map(exitOf)).finally(() => (over = true));
  for (let i = 0; !over; i++) {
    gate.load(tables[i % 2] ?? Buffer.alloc(0));
    await sleep(1);
  }
  assert.deepEqual(
    (await ended).map(({ code }) => code),
    [0, 0],
  );
  const { denied, queued, overflows, unanswered } = gate.status();
  assert.deepEqual({ denied, queued, overflows, unanswered }, { denied: 800, queued: 0, overflows: 0, unanswered: 0 });
});

test("what is left to the kernel makes no more events, until the file is written to", (t) => {
  const { folder, good, evil, known } = scene(t);
  const { gate } = openGate(t, folder, knowing(known));
  assert.equal(run(good), 0);
  const before = gate.status().events;
  for (let i = 0; i < 5; i++) assert.equal(run(good), 0);
  assert.equal(gate.status().events, before);
  writeFileSync(good, readFileSync(evil));
  assert.equal(run(good), REFUSED);
});

test("a new table and a new mode hold for what was left to the kernel, too", (t) => {
  const { folder, good, known } = scene(t);
  const { gate } = openGate(t, folder, knowing(known));
  assert.equal(run(good), 0);
  gate.load(compileGateTable(knowing(NOTHING)));
  assert.equal(run(good), REFUSED);
  gate.mark(0, folder, mountOf(folder), GATE_MODE.audit, false);
  assert.equal(run(good), 0);
});

test("what rimon itself starts is spared, and what that starts is not", (t) => {
  const { folder, evil, known } = scene(t);
  const { gate } = openGate(t, folder, knowing(known));
  assert.throws(() => execFileSync(evil), { status: EVIL });
  assert.equal(gate.status().spared, 1);
  assert.equal(run(evil), REFUSED);
});

test("what an updater starts is spared while an upgrade is declared, and only where root runs it", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const installer = join(tmpfs(t), "installer");
  copyFileSync(readlink("/usr/bin/timeout"), installer);
  const { gate } = openGate(t, folder, { ...knowing(known), updaters: [installer] });
  const below = async (...who: readonly string[]): Promise<number> => {
    const [command = "", ...args] = [...who, installer, "30", "sh", "-c", '"$0" 2>/dev/null; echo $?', evil];
    return Number(await lineOf(start(t, command, args)));
  };
  assert.equal(await below(), REFUSED);
  gate.upgrade(true);
  assert.equal(await below(), EVIL);
  assert.equal(await below("setpriv", "--reuid", String(NOBODY), "--clear-groups"), REFUSED);
  // A mount namespace of one's own gives any file the updater's name.
  const named = [
    "unshare",
    "-m",
    "sh",
    "-c",
    'mount --bind "$1" "$2"; shift; "$@"',
    "sh",
    readlink("/usr/bin/timeout"),
  ];
  assert.equal(await below(...named), REFUSED);
  gate.upgrade(false);
  assert.equal(await below(), REFUSED);
  assert.equal(run(good), 0);
});

test("where openings are looked at, scripts and libraries that are not known are refused to what would run them", (t) => {
  const { folder, good, evil, known } = scene(t);
  const script = join(folder, "script.sh");
  writeFileSync(script, "exit 7\n", { mode: 0o755 });
  const library = join(folder, "evil.so");
  copyFileSync(compile("evil", { shared: true }), library);
  const shell = readlink("/bin/sh");
  const interpreter = /interpreter: (\S+)|(\/lib\S+\/ld-linux\S+)/.exec(
    execFileSync("ldd", ["/bin/true"], { encoding: "utf8" }),
  );
  const loader = interpreter?.[1] ?? interpreter?.[2] ?? "";
  const table = { ...knowing(known, sha256Of(script)), interpreters: [shell] };
  const { gate } = openGate(t, folder, table, GATE_MODE.enforce, true);
  assert.equal(run("sh", script), 7);
  assert.equal(run(loader, good), 0);
  assert.equal(run(loader, evil), 127);
  assert.equal(run("sh", "-c", 'LD_PRELOAD="$0" /bin/true 2>&1 | grep -c "cannot be preloaded"', library), 0);
  writeFileSync(script, "exit 8\n");
  assert.notEqual(run("sh", script), 8);
  assert.equal(run("cat", script), 0);
  assert.ok(gate.status().denied >= 3);
});

test("its queue is unlimited: a full one would let everything run", (t) => {
  const folder = tmpfs(t);
  openGate(t, folder, TABLE);
  const FAN_UNLIMITED_QUEUE = 0x10;
  const flags = readdirSync("/proc/self/fdinfo").flatMap((fd) => {
    try {
      return /^fanotify flags:([0-9a-f]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? [];
    } catch {
      return [];
    }
  });
  assert.equal(flags.length, 1);
  assert.notEqual(parseInt(flags[0] ?? "", 16) & FAN_UNLIMITED_QUEUE, 0);
});

test("gateTry says what the gate would, by the same table", (t) => {
  const { folder, good, evil, known } = scene(t);
  const addon = requireFilesAddon();
  const table = compileGateTable({
    ...knowing(known),
    rules: [
      { verdict: "deny", uid: NOBODY },
      { verdict: "allow", by: "/usr/bin/dpkg" },
      { verdict: "allow", in: ["known"] },
    ],
  });
  const tried = (path: string, uid: number, by: string) => {
    const [record] = decodeRecords(addon.gateTry(table, path, uid, by));
    return record?.kind === "gate" ? [record.denied, record.rule, record.sha256] : [];
  };
  assert.deepEqual(tried(good, 0, ""), [false, 2, known]);
  assert.deepEqual(tried(evil, 0, ""), [true, undefined, sha256Of(evil)]);
  assert.deepEqual(tried(evil, 0, "/usr/bin/dpkg"), [false, 1, undefined]);
  assert.deepEqual(tried(good, NOBODY, ""), [true, 0, undefined]);
  assert.throws(() => tried(folder, 0, ""), { code: "EACCES" });
  assert.throws(() => tried(join(folder, "none"), 0, ""), { code: "ENOENT" });
});

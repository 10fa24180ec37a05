// What makes those wait who ask: a server that falls silent (FUSE), a disk that does (a loop device on it), a rimon that is
// stopped. The gate answers all the same, and everything else goes on.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { compileGateTable } from "../../src/baselines/gate-table.ts";
import { GATE_MODE } from "../../src/native.ts";
import { compile } from "../fixtures/compile.ts";
import { knowing, mountOf, openGate, run, scene } from "../fixtures/gate.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { lineOf, start, startNode, until } from "../native/child.ts";

const REFUSED = 126;
/** For its threads to have had a turn. */
const GOES_ON_MS = 300;

interface Served {
  readonly folder: string;
  readonly file: string;
  fallSilent(): void;
  speak(): void;
}

/** `file` on a file system of its own whose server can be stopped; it ends with the test. */
async function served(t: TestContext, file: string): Promise<Served> {
  const folder = join(temporaryDirectory("gate-server"), "served");
  chmodSync(join(folder, ".."), 0o755);
  mkdirSync(folder);
  const server = start(t, compile("gate-server"), [folder, file]);
  t.after(() => execFileSync("umount", ["-l", folder]));
  assert.equal(await lineOf(server), "ready");
  const at = join(folder, "file");
  // Its pages and its name are in memory, as of anything that runs.
  assert.deepEqual(readFileSync(at), readFileSync(file));
  return {
    folder,
    file: at,
    fallSilent: () => void server.kill("SIGSTOP"),
    speak: () => void server.kill("SIGCONT"),
  };
}

test("who runs from a silent server's file system is answered, and nobody else waits", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const { file, fallSilent } = await served(t, "/bin/sh");
  const { gate } = openGate(t, folder, { ...knowing(known), rules: [{ verdict: "allow", by: "/none" }, { verdict: "allow", in: ["known"] }] }); // prettier-ignore
  const shell = start(t, file, ["-c", 'echo up; while read program; do "$program"; echo $?; done']);
  assert.equal(await lineOf(shell), "up");
  shell.stdin?.write(`${evil}\n`);
  assert.equal(await lineOf(shell), String(REFUSED));
  fallSilent();
  for (const [program, code] of [
    [evil, REFUSED],
    [good, 0],
  ] as const) {
    shell.stdin?.write(`${program}\n`);
    assert.equal(await lineOf(shell), String(code));
  }
  assert.deepEqual([run(good), run(evil)], [0, REFUSED]);
  assert.equal(gate.status().unanswered, 0);
});

test("a name that leads to a silent server for us is asked for by nobody", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const program = join(folder, "file");
  copyFileSync(evil, program);
  const server = await served(t, "/bin/true");
  openGate(t, folder, knowing(known));
  const script = 'umount -l "$1" && mount --bind "$2" "$1" && echo up && read _ && "$1/file"; echo $?';
  const who = start(t, "unshare", ["-m", "sh", "-c", script, "sh", server.folder, folder]);
  assert.equal(await lineOf(who), "up");
  assert.ok(statSync(server.file).isFile());
  server.fallSilent();
  who.stdin?.write("\n");
  assert.equal(await lineOf(who), String(REFUSED));
  assert.deepEqual([run(good), run(evil)], [0, REFUSED]);
});

test("a disk that hangs holds up what lies on it, for as long as is said, and nothing else", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const source = temporaryDirectory("gate-disk");
  const names = ["a", "b", "c", "d", "e", "f"];
  const content = join(source, "content");
  mkdirSync(content);
  for (const name of names) copyFileSync(good, join(content, name));
  const image = join(source, "image");
  execFileSync("mke2fs", ["-q", "-t", "ext4", "-d", content, image, "16M"]);
  const server = await served(t, image);
  const device = execFileSync("losetup", ["--find", "--show", "--read-only", "--direct-io=off", server.file], { encoding: "utf8" }).trim(); // prettier-ignore
  t.after(() => execFileSync("losetup", ["-d", device]));
  const disk = join(source, "disk");
  mkdirSync(disk);
  execFileSync("mount", ["-t", "ext4", "-o", "ro,noload", device, disk]);
  t.after(() => execFileSync("umount", ["-l", disk]));
  const table = { ...knowing(known), deadlineMs: 1_000, unanswered: "deny" } as const;
  const { gate, told } = openGate(t, folder, table);
  gate.mark(0, disk, mountOf(disk), GATE_MODE.enforce, false);
  // The name is known, and of the content nothing: neither of the file, nor of the disk below it.
  for (const name of names) assert.ok(statSync(join(disk, name)).size > 0);
  execFileSync("dd", [`of=${server.file}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"]);
  server.fallSilent();
  const stuck = names.map((name) => start(t, "sh", ["-c", '"$0" 2>/dev/null; echo $?', join(disk, name)]));
  await until("the disk to hang", () => (gate.status().busy > 0 ? true : undefined));
  assert.deepEqual([run(good), run(evil)], [0, REFUSED]);
  assert.deepEqual(
    await Promise.all(stuck.map(lineOf)),
    names.map(() => String(REFUSED)),
  );
  // By the leader, who tells of it; or, where that had no turn for so long, by the deputy, who counts.
  const late = () => told().filter(({ reason }) => reason === "deadline").length + gate.status().stoodIn;
  await until("all of them to be told or counted", () => (late() >= names.length ? true : undefined));
  server.speak();
  await until("the threads to be free", () => (gate.status().busy === 0 ? true : undefined));
  assert.equal(run(join(disk, "a")), 0);
});

/** A process with a gate that is of no use once it is stopped; its status for each line that it is given. */
async function agent(t: TestContext, folder: string, known: string, deadlineMs: number) {
  const table = compileGateTable({ ...knowing(known), deadlineMs });
  const child = startNode(
    t,
    `const gate = addon.openGate(() => {});
    gate.load(Buffer.from(${JSON.stringify(table.toString("base64"))}, "base64"));
    gate.mark(0, ${JSON.stringify(folder)}, ${mountOf(folder)}, ${GATE_MODE.enforce}, false);
    console.log("ready");
    process.stdin.on("data", () => console.log(JSON.stringify(gate.status())));`,
  );
  assert.equal(await lineOf(child), "ready");
  return {
    goOn: () => void child.kill("SIGCONT"),
    /** Each of its threads: the signal is taken by one of them, when that has a turn. */
    async stop() {
      child.kill("SIGSTOP");
      await until(
        "all its threads to stop",
        () =>
          readdirSync(`/proc/${child.pid}/task`).every((tid) =>
            /\) T /.test(readFileSync(`/proc/${child.pid}/task/${tid}/stat`, "latin1")),
          ) || undefined,
      );
    },
    async status() {
      child.stdin?.write("\n");
      return JSON.parse(await lineOf(child)) as { unanswered: number };
    },
  };
}

test("a rimon that is stopped holds nobody up", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const { stop, goOn, status } = await agent(t, folder, known, 500);
  assert.deepEqual([run(good), run(evil)], [0, REFUSED]);
  await stop();
  // As what cannot be judged is answered.
  for (let i = 0; i < 5; i++) assert.notEqual(run(evil), REFUSED);
  goOn();
  await until("it to go on", () => (run(evil) === REFUSED ? true : undefined));
  const { unanswered } = await status();
  assert.ok(unanswered >= 5, String(unanswered));
});

test("once it goes on, nothing more is answered in its place", async (t) => {
  const { folder, evil, known } = scene(t);
  const { stop, goOn, status } = await agent(t, folder, known, 200);
  for (let time = 0; time < 8; time++) {
    await stop();
    assert.notEqual(run(evil), REFUSED);
    goOn();
    await status();
    await sleep(GOES_ON_MS);
    assert.equal(run(evil), REFUSED, `the ${time + 1}th time`);
  }
});

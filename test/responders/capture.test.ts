import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createCaptureResponder } from "../../src/responders/capture.ts";
import { verdictOf } from "./verdicts.ts";

const folder = mkdtempSync(join(tmpdir(), "rimon-capture-"));
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});
let made = 0;
const directory = () => join(folder, `captures-${made++}`);

/** A child with a secret in its environment, a file and a listening socket open, and a child of its own. */
async function suspect() {
  const file = join(folder, "held open");
  writeFileSync(file, "");
  const script = `const held = require("fs").openSync(${JSON.stringify(file)});
    const grandchild = require("child_process").spawn("sleep", ["60"]);
    require("net").createServer().listen(0, "127.0.0.1", function () {
      console.log(JSON.stringify({ held, port: this.address().port, grandchild: grandchild.pid }));
    });
    process.stdin.resume().on("end", () => { grandchild.kill("SIGKILL"); process.exit(); });`;
  const child = spawn(process.execPath, ["-e", script, "the argument ü"], {
    env: { PATH: process.env["PATH"], SECRET: "hunter2-in-environ" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const told = JSON.parse(String(line)) as { held: number; port: number; grandchild: number };
  const pid = child.pid ?? 0;
  const end = async () => {
    child.stdin.end();
    await once(child, "exit");
  };
  return { actor: { pid, startTime: startTimeOf(pid), comm: "node" }, file, end, ...told };
}

function startTimeOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
}

function filesBelow(path: string): string[] {
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function read<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(...path), "utf8")) as T;
}

const SELF = { pid: process.pid, startTime: startTimeOf(process.pid), comm: "node" };

test("what /proc says of suspect and target is kept, and no environment", async () => {
  const child = await suspect();
  const path = directory();
  const outcome = await createCaptureResponder({ directory: path, keep: 3, enabled: true }).respond(
    verdictOf({ id: "01A", suspect: child.actor, target: SELF }),
  );
  assert.equal(outcome.result, "done", outcome.message);
  assert.equal(
    outcome.message,
    `what /proc says of node (${child.actor.pid}) and node (${process.pid}) is in ${path}/01A`,
  );
  assert.deepEqual(outcome.details, { path: `${path}/01A`, missing: 0 });
  const files = filesBelow(path);
  assert.equal(files.length, 22);
  for (const file of files) {
    assert.equal(statSync(file).mode & 0o777, 0o600, file);
    assert.ok(!readFileSync(file, "latin1").includes("hunter2"), file);
  }
  for (const each of ["", "01A", "01A/suspect", "01A/target"])
    assert.equal(statSync(join(path, each)).mode & 0o777, 0o700);

  const at = join(path, "01A/suspect");
  assert.equal(read<string[]>(at, "cmdline.json").at(-1), "the argument ü");
  const exe = read<{ path: string; sha256: string }>(at, "exe.json");
  assert.equal(exe.path, readlinkSync(`/proc/${process.pid}/exe`));
  assert.equal(exe.sha256, createHash("sha256").update(readFileSync(process.execPath)).digest("hex"));
  const tree = read<{ ancestry: { pid: number }[]; children: { pid: number; comm: string }[] }>(at, "tree.json");
  assert.equal(tree.ancestry[0]?.pid, process.pid);
  assert.deepEqual(
    tree.children.map(({ pid, comm }) => [pid, comm]),
    [[child.grandchild, "sleep"]],
  );
  const descriptors = read<{ fd: number; link: string }[]>(at, "descriptors.json");
  assert.ok(descriptors.some(({ fd, link }) => fd === child.held && link === child.file));
  const sockets = readFileSync(join(at, "sockets"), "utf8");
  assert.match(sockets, new RegExp(`^tcp .*0100007F:${child.port.toString(16).toUpperCase().padStart(4, "0")} `, "m"));
  assert.match(readFileSync(join(at, "maps"), "utf8"), /r-xp .*node/);
  assert.match(readFileSync(join(at, "status"), "utf8"), new RegExp(`^PPid:\t${process.pid}$`, "m"));
  assert.match(readFileSync(join(at, "limits"), "utf8"), /Max core file size/);
  assert.equal(read<Record<string, string>>(at, "namespaces.json")["pid"], readlinkSync("/proc/self/ns/pid"));
  assert.equal(readFileSync(join(at, "cgroup"), "utf8"), readFileSync(`/proc/${child.actor.pid}/cgroup`, "utf8"));
  assert.equal(read<{ id: string }>(path, "01A/finding.json").id, "01A");
  assert.deepEqual(read<{ missing: unknown[] }>(path, "01A/capture.json").missing, []);
  await child.end();
});

test("who has ended, and who only has the pid, is noted and not captured", async () => {
  const child = await suspect();
  await child.end();
  const path = directory();
  const responder = createCaptureResponder({ directory: path, keep: 3, enabled: true });
  const reused = { ...SELF, startTime: SELF.startTime - 1 };
  const outcome = await responder.respond(verdictOf({ id: "01B", suspect: child.actor, target: reused }));
  assert.equal(outcome.result, "skipped");
  assert.deepEqual(readdirSync(join(path, "01B")).toSorted(), ["capture.json", "finding.json"]);
  assert.deepEqual(read<{ missing: unknown[] }>(path, "01B/capture.json").missing, [
    { process: "suspect", part: "process", reason: "it had ended" },
    {
      process: "target",
      part: "process",
      reason: `pid ${process.pid} belongs to another process: started at ${SELF.startTime}, not ${reused.startTime}`,
    },
  ]);

  const { suspect: _unknown, ...finding } = verdictOf({ id: "01C", target: SELF }).finding;
  const half = await responder.respond({ ...verdictOf(), finding });
  assert.equal(half.result, "done");
  assert.match(half.message, /; 1 parts could not be read, capture.json says why$/);
});

test("the newest captures stay, and what is no capture is left alone", async () => {
  const path = directory();
  mkdirSync(join(path, "notes"), { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
  const responder = createCaptureResponder({ directory: path, keep: 2, enabled: true });
  for (const id of ["01D", "01E", "01F", "01G"]) {
    assert.equal((await responder.respond(verdictOf({ id, suspect: SELF, target: SELF }))).result, "done");
  }
  assert.deepEqual(readdirSync(path).toSorted(), ["01F", "01G", "notes"]);
});

test("captures under way are bounded, and none removes another that is not done", async () => {
  const path = directory();
  const responder = createCaptureResponder({ directory: path, keep: 1, enabled: true });
  const outcomes = await Promise.all(
    ["01H", "01J", "01K", "01M", "01N", "01H"].map((id) =>
      responder.respond(verdictOf({ id, suspect: SELF, target: SELF })),
    ),
  );
  assert.deepEqual(
    outcomes.map(({ result }) => result),
    ["done", "done", "done", "done", "done", "skipped"],
  );
  await responder.close?.(1000);
});

test("no link is followed, nothing is written over, no foreign folder is used", async () => {
  const path = directory();
  const elsewhere = join(folder, "elsewhere");
  mkdirSync(elsewhere, { recursive: true });
  mkdirSync(path, { mode: 0o700 });
  symlinkSync(elsewhere, join(path, "01P"));
  const responder = createCaptureResponder({ directory: path, keep: 3, enabled: true });
  const outcome = await responder.respond(verdictOf({ id: "01P", suspect: SELF }));
  assert.equal(outcome.result, "failed");
  assert.match(outcome.message, /EEXIST/);
  assert.deepEqual(readdirSync(elsewhere), []);

  const link = join(folder, "link");
  symlinkSync(elsewhere, link);
  const linked = createCaptureResponder({ directory: link, keep: 3, enabled: true });
  assert.match((await linked.respond(verdictOf({ id: "01Q" }))).message, /ELOOP|ENOTDIR/);
  chmodSync(elsewhere, 0o777);
  const open = createCaptureResponder({ directory: elsewhere, keep: 3, enabled: true });
  assert.match((await open.respond(verdictOf({ id: "01R" }))).message, /to be written by nobody else/);
  assert.deepEqual(readdirSync(elsewhere), []);
});

test("refused when disabled, or if the id is a path", async () => {
  const path = directory();
  const off = createCaptureResponder({ directory: path, keep: 3, enabled: false });
  assert.equal((await off.respond(verdictOf())).result, "refused");
  const on = createCaptureResponder({ directory: path, keep: 3, enabled: true });
  for (const id of ["../01", "", ".", "a/b"]) assert.equal((await on.respond(verdictOf({ id }))).result, "refused");
  assert.ok(!existsSync(path));
});

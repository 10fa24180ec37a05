// The sensor on the live /proc: a child that the test spawned, and the kernel of this node.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { SUBSYSTEMS } from "../../src/baselines/all.ts";
import { isolationStatement } from "../../src/baselines/isolation-baseline.ts";
import { statementBytes, type BaselineHeader } from "../../src/baselines/statement.ts";
import type { Configuration } from "../../src/configuration.ts";
import { procfs, snapshot } from "../../src/isolation.ts";
import { machineOf } from "../../src/machine.ts";
import { DEFAULT } from "../../src/policy/defaults.ts";
import { createSnapshots } from "../../src/sensors/snapshots.ts";
import { Child } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { newPair, sealed } from "../baselines/sealed.ts";
import { createContext } from "./context.ts";

const child = new Child("sleep", ["1000"]);
after(() => child.kill("SIGKILL"));

function startTimeOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
}

const prlimit = (value: string): void =>
  assert.equal(spawnSync("prlimit", ["--pid", String(child.pid), `--nproc=${value}`]).status, 0);

test("the subsystems of the configuration are those there are", () => {
  assert.deepEqual(
    DEFAULT.snapshotSubsystems,
    SUBSYSTEMS.filter(({ onRequest }) => onRequest !== true).map(({ name }) => name),
  );
});

test("off until it is asked for; then a change is told once, and so is the way back", async (t) => {
  const id = { pid: child.pid, startTime: startTimeOf(child.pid) };
  let now = 1_000_000;
  const context = Object.assign(createContext([id]), { now: () => now });
  t.after(() => context.close());
  let settings: Configuration["snapshots"];
  const sensor = createSnapshots(context, () => settings);
  const told = (): (string | undefined)[] =>
    context.of("isolation.changed").map(({ subsystem, pid, changes }) => `${pid} ${subsystem} ${changes[0]?.actual}`);
  const passAfter = async (ms: number): Promise<void> => {
    now += ms;
    await sensor.pass?.(false);
  };

  await sensor.start();
  assert.deepEqual(context.of("sensor.state").map(({ state }) => state), ["off"]); // prettier-ignore
  prlimit("100:1000");
  settings = { intervalMs: 30_000, subsystems: DEFAULT.snapshotSubsystems };
  await passAfter(0);
  assert.deepEqual(context.of("sensor.state").map(({ state }) => state), ["off", "live"]); // prettier-ignore
  await passAfter(5_000);
  prlimit("101:1000");
  await passAfter(29_000);
  assert.deepEqual(told(), []);
  await passAfter(1_000);
  const change = [`${child.pid} limits 101 1000`];
  assert.deepEqual(told(), change);
  await passAfter(30_000);
  assert.deepEqual(told(), change);
  prlimit("100:1000");
  await passAfter(30_000);
  assert.deepEqual(told(), [...change, `${child.pid} limits 100 1000`]);
  const [first] = context.of("isolation.changed");
  assert.deepEqual(first?.evidence.map(({ text }) => text), ["limits"]); // prettier-ignore

  // Only what is asked for.
  settings = { intervalMs: 30_000, subsystems: ["seccomp"] };
  prlimit("102:1000");
  await passAfter(30_000);
  assert.equal(told().length, 2);
  await sensor.stop();
});

test("who becomes another program is another, and who ends is no longer looked at", async (t) => {
  const shell = new Child("sh", ["-c", "read line; exec sleep 1000"]);
  t.after(() => shell.kill("SIGKILL"));
  const id = { pid: shell.pid, startTime: startTimeOf(shell.pid) };
  let now = 1_000_000;
  const context = Object.assign(createContext([id]), { now: () => now });
  t.after(() => context.close());
  const sensor = createSnapshots(context, () => ({ intervalMs: 1_000, subsystems: ["executable", "memory-maps"] }));
  const pass = async (): Promise<void> => {
    now += 5_000;
    await sensor.pass?.(false);
  };
  await sensor.start();
  await pass();
  shell.send("go");
  while (readFileSync(`/proc/${shell.pid}/comm`, "utf8") !== "sleep\n") await new Promise((resolve) => setTimeout(resolve, 10)); // prettier-ignore
  sensor.notice?.({
    kind: "process.seen",
    at: now,
    sensor: "exec",
    by: "exec",
    process: { ...id, parentPid: 1, comm: "sleep", kernelThread: false },
  });
  await pass();
  await pass();
  assert.deepEqual(context.of("isolation.changed"), []);
  shell.kill("SIGKILL");
  await shell.exited;
  await pass();
  context.protectedIds = [];
  await pass();
  assert.deepEqual(context.of("isolation.changed"), []);
  assert.deepEqual(context.of("sensor.state").map(({ state }) => state), ["live"]); // prettier-ignore
});

test("what can no longer be looked at is told once", async (t) => {
  // Nobody waits for the inner one, so that it stays as a zombie, which has no program any more.
  const outer = new Child("sh", ["-c", "sleep 1000 & echo $!; exec sleep 1000"]);
  t.after(() => outer.kill("SIGKILL"));
  const pid = Number(await outer.lines.waitFor((line) => /^\d+$/.test(line), 10_000));
  const id = { pid, startTime: startTimeOf(pid) };
  let now = 1_000_000;
  const context = Object.assign(createContext([id]), { now: () => now });
  t.after(() => context.close());
  const sensor = createSnapshots(context, () => ({ intervalMs: 1_000, subsystems: ["executable"] }));
  const pass = async (): Promise<void> => {
    now += 5_000;
    await sensor.pass?.(false);
  };
  await sensor.start();
  await pass();
  process.kill(pid, "SIGKILL");
  while (!/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))) await new Promise((resolve) => setTimeout(resolve, 10)); // prettier-ignore
  for (let round = 0; round < 3; round++) await pass();
  assert.deepEqual(
    context.of("isolation.changed").map(({ subsystem, change, message }) => [subsystem, change, message]),
    [["executable", "gone", "executable cannot be looked at any more: no exe"]],
  );
});

test("a sealed baseline is what is compared with; one that is not to be believed is told once", async (t) => {
  const folder = temporaryDirectory("sealed");
  const [file, key] = [join(folder, "good.dsse"), join(folder, "release.pub")];
  const pair = newPair();
  writeFileSync(key, pair.key.export({ type: "spki", format: "pem" }));
  const id = { pid: child.pid, startTime: startTimeOf(child.pid) };
  let now = Date.now();
  const context = Object.assign(createContext([id]), { now: () => now });
  t.after(() => context.close());
  const header = (counter: number): BaselineHeader => ({
    counter,
    createdAt: new Date(now).toISOString(),
    madeBy: { rimon: "0.1.0" },
    machine: machineOf(),
  });
  const kernel = snapshot(procfs.live(), { subsystems: ["security"] });
  const { process: _, ...ofKernel } = kernel;
  const facts = { ...kernel.subsystems["security"]?.facts, "command line": "as it was when all was well" };
  const other = { ...ofKernel, subsystems: { security: { ...kernel.subsystems["security"]!, facts } } };
  prlimit("100:1000");
  const limited = snapshot(procfs.live(child.pid), { subsystems: ["limits"] });
  prlimit("105:1000");
  const install = (counter: number): void => {
    const entries = [
      { name: "kernel", snapshot: other },
      { name: "sleep", snapshot: limited },
    ];
    writeFileSync(file, sealed(statementBytes(isolationStatement(header(counter), entries)), [pair]));
  };
  const baseline = { file, publicKeys: [key], threshold: 1, ifRefused: "last-good", lastGood: join(folder, "kept", "good.dsse") } as const; // prettier-ignore
  const sensor = createSnapshots(context, () => ({ intervalMs: 1_000, subsystems: ["security", "limits"], baseline }));
  const pass = async (): Promise<void> => {
    now += 6_000;
    await sensor.pass?.(false);
  };
  const told = (): string[] => context.of("isolation.changed").map(({ changes }) => `${changes[0]?.fact} was ${changes[0]?.expected}`); // prettier-ignore
  const refusals = (): string[] => context.of("baseline.refused").map(({ code, using }) => `${code}, ${using}`);
  const state = (): string | undefined => context.of("sensor.state").at(-1)?.state;

  install(7);
  await sensor.start();
  for (let round = 0; round < 3; round++) await pass();
  assert.deepEqual(told(), ["command line was as it was when all was well", "Max processes was 100 1000"]);
  assert.deepEqual([refusals(), state()], [[], "live"]);

  rmSync(file);
  for (let round = 0; round < 3; round++) await pass();
  assert.deepEqual([refusals(), state()], [["missing, last-good"], "degraded"]);
  install(6);
  for (let round = 0; round < 2; round++) await pass();
  assert.deepEqual(refusals().slice(1), ["rolled-back, last-good"]);
  assert.equal(told().length, 2);
  // A newer one: what differs from it is told anew.
  install(8);
  for (let round = 0; round < 3; round++) await pass();
  assert.deepEqual([refusals().length, told().length, state()], [2, 4, "live"]);
});

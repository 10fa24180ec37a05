// The sensors that look: each on the live /proc, at children that the test spawned.

import assert from "node:assert/strict";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { ProcessId } from "../../src/observation.ts";
import { createAddressSpace } from "../../src/sensors/address-space.ts";
import { createDescriptors } from "../../src/sensors/descriptors.ts";
import { createPosture } from "../../src/sensors/posture.ts";
import { createProcessTable } from "../../src/sensors/process-table.ts";
import { createSettings } from "../../src/sensors/settings.ts";
import { startAttack } from "../fixtures/attack.ts";
import { compile } from "../fixtures/compile.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { createContext, type TestContext } from "./context.ts";

const targets: Target[] = [];
after(async () => {
  for (const target of targets) await target.stop();
});

async function started(options: Parameters<typeof spawnTarget>[0] = {}): Promise<Target> {
  const target = await spawnTarget(options);
  targets.push(target);
  return target;
}

function idOf(pid: number): ProcessId {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return { pid, startTime: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]) };
}

/** As on a kernel that has no task iterator for us. */
function withoutWalk(context: TestContext): TestContext {
  const procfs = new Proxy(context.procfs, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name !== "walk") return typeof value === "function" ? value.bind(target) : value;
      return () => {
        throw new Error("not here");
      };
    },
  });
  return Object.assign(context, { procfs });
}

for (const { rung, prepared, sees } of [
  {
    rung: "the kernel's walk of its tasks",
    prepared: (context: TestContext) => context,
    sees: /own walk of its tasks/,
  },
  { rung: "/proc", prepared: withoutWalk, sees: /by \/proc \(not here\)/ },
])
  describe(`process-table by ${rung}`, () => {
    it("tells that a process is gone which an event alone had named, and whose exit was lost", async () => {
      const context = prepared(createContext());
      const table = createProcessTable(context);
      await table.start();
      const brief = await spawnTarget();
      const id = idOf(brief.pid);
      const seen = { ...id, parentPid: process.pid, comm: "brief", kernelThread: false };
      table.notice?.({ kind: "process.seen", at: Date.now(), sensor: "proc-connector", by: "exec", process: seen });
      await brief.stop();
      const exits = () => context.of("process.exited").filter(({ pid }) => pid === id.pid);
      await table.pass?.(false);
      assert.deepEqual(
        exits().map(({ startTime }) => startTime),
        [id.startTime],
      );
      await table.pass?.(false);
      assert.equal(exits().length, 1, "once");
      context.close();
    });

    it("tells of everything first, then of what is new, changed or gone", async () => {
      const context = prepared(createContext());
      const table = createProcessTable(context);
      const first = await started();
      await table.start();
      const seen = () => context.of("process.seen").filter(({ process }) => process.pid === first.pid);
      assert.equal(seen().length, 1);
      assert.deepEqual(seen()[0]?.process.exe, first.exe);
      assert.equal(seen()[0]?.process.startTime, idOf(first.pid).startTime);
      assert.ok(context.of("process.seen").some((each) => each.process.pid === process.pid));
      assert.match(table.sees, sees);

      await table.pass?.(false);
      assert.equal(seen().length, 1, "nothing changed");
      await table.pass?.(true);
      assert.equal(seen().length, 2, "a full pass tells of everything");

      const second = await spawnTarget();
      await table.pass?.(false);
      assert.ok(context.of("process.seen").some(({ process }) => process.pid === second.pid));
      const { startTime } = idOf(second.pid);
      await second.stop();
      await table.pass?.(false);
      assert.deepEqual(
      context.of("process.exited").filter(({ pid }) => pid === second.pid).map(({ startTime }) => startTime),
      [startTime],
    ); // prettier-ignore
      assert.deepEqual(context.of("sensor.state").map(({ state }) => state), ["live"]); // prettier-ignore
      await table.stop();
      context.close();
    });

    it("says of no process that it is gone because one reader does not show it", async () => {
      const context = prepared(createContext());
      const table = createProcessTable(context);
      const target = await started();
      await table.start();
      const told = (pid: number) => context.of("process.seen").filter(({ process }) => process.pid === pid).length;
      for (const pass of [1, 2, 3]) await table.pass?.(pass === 3);
      // What the kernel keeps out of one reader is in the other.
      assert.deepEqual([told(1), told(process.pid), told(target.pid)], [2, 2, 2]);
      assert.deepEqual(context.of("process.exited").filter(({ pid }) => [1, target.pid].includes(pid)), []); // prettier-ignore
      await table.stop();
      context.close();
    });

    it("tells once of a thread that has a tracer, and of its end", async () => {
      const target = await started({ threads: 1 });
      const tid = target.tids[1]!;
      const context = prepared(createContext([idOf(target.pid)]));
      const table = createProcessTable(context);
      await table.start();
      assert.deepEqual(context.of("ptrace.attached"), []);

      const strace = spawn("strace", ["-o", "/dev/null", "-p", String(tid)], { stdio: ["ignore", "ignore", "pipe"] });
      await once(strace.stderr, "data");
      await table.pass?.(false);
      await table.pass?.(false);
      assert.deepEqual(
        context.of("ptrace.attached").map(({ pid, tid, tracerPid, startTime }) => [pid, tid, tracerPid, startTime]),
        [[target.pid, tid, strace.pid, idOf(target.pid).startTime]],
      );

      strace.kill("SIGTERM");
      await once(strace, "exit");
      await table.pass?.(false);
      assert.deepEqual(context.of("ptrace.detached").map(({ pid, tid }) => [pid, tid]), [[target.pid, tid]]); // prettier-ignore
      context.close();
    });
  });

describe("posture", () => {
  it("tells what decides about dumps, once, and again when it differs", async () => {
    const target = await started({ core: 4096 });
    const { pid, startTime } = idOf(target.pid);
    const context = createContext([{ pid, startTime }]);
    const posture = createPosture(context);
    await posture.start();
    await posture.pass?.(false);
    const [first, ...none] = context.of("posture.seen");
    assert.deepEqual(none, []);
    assert.deepEqual([first?.pid, first?.startTime], [pid, startTime]);
    assert.equal(first?.posture.coreLimit?.[0], "4096");
    assert.equal(first.posture.procOwner, 0);
    assert.deepEqual(first.posture.loader, []);

    writeFileSync(`/proc/${pid}/coredump_filter`, "0x3f");
    await posture.pass?.(false);
    const second = context.of("posture.seen")[1];
    assert.equal(second?.posture.coredumpFilter, 0x3f);
    assert.equal(second.posture.loader, undefined, "what the loader was told does not change while it runs");
    context.close();
  });

  it("names a preloaded library, and nothing else of the environment", async () => {
    const library = compile("preload", { shared: true });
    const target = await started({ env: { LD_PRELOAD: library, SECRET_TOKEN: "hunter2" } });
    const context = createContext([idOf(target.pid)]);
    await createPosture(context).start();
    assert.deepEqual(context.of("posture.seen")[0]?.posture.loader, [{ name: "LD_PRELOAD", paths: [library] }]);
    assert.doesNotMatch(JSON.stringify(context.emitted.items), /hunter2|SECRET_TOKEN/);
    context.close();
  });

  it("has nothing to say of a process that is gone", async () => {
    const context = createContext([{ pid: 4_194_303, startTime: 1 }]);
    await createPosture(context).start();
    assert.deepEqual(context.of("posture.seen"), []);
    assert.deepEqual(context.of("sensor.state").map(({ state }) => state), ["live"]); // prettier-ignore
    context.close();
  });
});

describe("address-space", () => {
  it("tells the mappings once, and again when code appears", async () => {
    const target = await started();
    const context = createContext([idOf(target.pid)]);
    const space = createAddressSpace(context);
    await space.start();
    await space.pass?.(false);
    const [first, ...none] = context.of("maps.seen");
    assert.deepEqual(none, []);
    assert.ok(first && first.mappings.some(({ path, permissions }) => path === target.exe && permissions === "r-xp"));
    assert.ok(first.mappings.every(({ permissions }) => permissions.includes("x")));

    await target.command(`dlopen ${compile("evil", { shared: true })}`);
    await space.pass?.(false);
    const second = context.of("maps.seen")[1];
    assert.ok(second && second.mappings.some(({ path }) => path.endsWith("/evil.so")));
    assert.notEqual(second.digest, first.digest);
    context.close();
  });
});

describe("descriptors", () => {
  it("tells once of memory held open and of key files", async () => {
    const target = await started();
    const attacker = startAttack("mem", [target.pid, target.address, target.length, "--hold"]);
    await attacker.next();
    const key = join(temporaryDirectory("key"), "server.key");
    const certificate = join(temporaryDirectory("key"), "ca-bundle.pem");
    for (const path of [key, certificate]) writeFileSync(path, "x");
    // rimon's own descriptors are not looked at.
    const holder = spawn("sleep", ["60"], { stdio: [openSync(key, "r"), openSync(certificate, "r"), "ignore"] });
    await once(holder, "spawn");
    const { pid, startTime } = idOf(holder.pid!);
    const context = createContext();
    const descriptors = createDescriptors(context);
    await descriptors.start();
    await descriptors.pass?.(true);

    assert.deepEqual(
      context.of("procfs.accessed").filter(({ pid }) => pid === attacker.pid).map(({ targetPid, access, path, ownMount }) => [targetPid, access, path, ownMount]),
      [[target.pid, "held", `/proc/${target.pid}/mem`, true]],
    ); // prettier-ignore
    const held = context.of("key-file.held").filter((each) => each.pid === pid);
    assert.deepEqual(held.map(({ path }) => path), [key]); // prettier-ignore
    assert.equal(held[0]?.startTime, startTime);
    holder.kill();
    await attacker.end();
    context.close();
  });
});

it("settings are told as they are, and again only when they differ", async () => {
  const context = createContext();
  const settings = createSettings(context);
  await settings.start();
  await settings.pass?.(false);
  const values = new Map(context.of("setting.seen").map(({ setting, value }) => [setting, value]));
  assert.equal(context.of("setting.seen").length, 4);
  assert.equal(values.get("kernel.core_pattern"), readFileSync("/proc/sys/kernel/core_pattern", "utf8").trimEnd());
  assert.equal(values.get("fs.suid_dumpable"), readFileSync("/proc/sys/fs/suid_dumpable", "utf8").trimEnd());
  context.close();
});

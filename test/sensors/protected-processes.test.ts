// Who is protected as the eBPF programs know it, on the running kernel: it stays what the configuration means.

import assert from "node:assert/strict";
import { test, type TestContext as Test } from "node:test";
import { createProtectedProcesses } from "../../src/sensors/protected-processes.ts";
import { spawnTarget } from "../fixtures/target.ts";
import { readTwin } from "../native/twin.ts";
import { createContext } from "./context.ts";

async function watching(t: Test) {
  const target = await spawnTarget();
  t.after(() => target.stop());
  const context = createContext();
  const watch = context.addon.openWatch(
    { connector: false, files: false, memory: true, signals: true },
    context.procfs,
    () => undefined,
  );
  t.after(() => {
    watch.close();
    context.close();
  });
  const { memory } = watch.status();
  assert.ok(memory.live, memory.reason);
  const identify = (pid: number) => ({ pid, startTime: readTwin(pid)?.process.startTime ?? assert.fail(`no ${pid}`) });
  const isKept = (pid: number): boolean => watch.protected().includes(pid);
  return { target, context, watch, identify, isKept, processes: createProtectedProcesses(context, watch) };
}

test("what was forked by a process that was let go, before that was known, is let go at the second pass", async (t) => {
  const { target, context, identify, isKept, processes } = await watching(t);
  context.protectedIds = [identify(target.pid)];
  await processes.pass();
  const [child = 0] = await target.fork(1);
  assert.ok(isKept(child), "the programs follow the fork");
  await processes.pass();
  assert.ok(isKept(child), "its fork may be told yet");
  await processes.pass();
  assert.ok(!isKept(child));
  assert.ok(isKept(target.pid));
});

test("a child whose fork was told stays", async (t) => {
  const { target, context, identify, isKept, processes } = await watching(t);
  context.protectedIds = [identify(target.pid)];
  await processes.pass();
  const [child = 0] = await target.fork(1);
  processes.notice({ kind: "process.forked", at: 0, sensor: "proc-connector", pid: child, parentPid: target.pid });
  for (let pass = 0; pass < 3; pass++) await processes.pass();
  assert.ok(isKept(child));
});

test("who has ended when it is protected is forgotten, and who was forgotten is protected again", async (t) => {
  const { target, context, watch, identify, isKept, processes } = await watching(t);
  const gone = await spawnTarget();
  const id = identify(gone.pid);
  await gone.stop();
  context.protectedIds = [identify(target.pid), id];
  await processes.pass();
  assert.ok(isKept(id.pid), "nobody tells of its end");
  processes.notice({ kind: "process.exited", at: 0, sensor: "proc-connector", ...id });
  context.protectedIds = [identify(target.pid)];
  await processes.pass();
  await processes.pass();
  assert.ok(!isKept(id.pid));
  watch.unprotect(target.pid);
  assert.ok(!isKept(target.pid));
  await processes.pass();
  assert.ok(isKept(target.pid));
});

// The sources of events as one sensor sees them, on the live kernel.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test, type TestContext as Test } from "node:test";
import type { Addon, Watch } from "../../src/native.ts";
import { createKernelEvents } from "../../src/sensors/kernel-events.ts";
import { until } from "../native/child.ts";
import { createContext } from "./context.ts";

test("events that are taken are a sign of life, also if no pass comes in between", async (t) => {
  const context = createContext();
  let beats = 0;
  const openWatch: Addon["openWatch"] = (...asked) =>
    new Proxy(context.addon.openWatch(...asked), {
      get(watch, name: keyof Watch) {
        const value = watch[name];
        if (name === "beat") beats++;
        return typeof value === "function" ? value.bind(watch) : value;
      },
    });
  const { connector } = createKernelEvents(
    { ...context, addon: { ...context.addon, openWatch } },
    { connector: true, files: false, exec: true },
    () => [],
    () => {},
  );
  await connector.start();
  t.after(async () => {
    await connector.stop();
    context.close();
  });
  const before = beats;
  spawnSync("true");
  await until("an event", () => (beats > before ? true : undefined));
  assert.ok(context.of("process.seen").some(({ process }) => process.comm === "true"));
});

/** Starts `true` with each environment in turn and gives what was told of the loader of each, and of the last one's end. */
async function loadersTold(t: Test, isProtected: boolean, environments: readonly Record<string, string>[]) {
  const context = { ...createContext(), isProtected: () => isProtected };
  const { connector, exec } = createKernelEvents(
    context,
    { connector: false, files: false, exec: true },
    () => [],
    () => {},
  );
  await exec.start();
  t.after(async () => {
    await connector.stop();
    context.close();
  });
  const pids = environments.map((env) => spawnSync("/bin/true", { env }).pid);
  await until("the last exec", () => context.of("process.seen").find(({ process }) => process.pid === pids.at(-1)));
  const told = context.of("posture.seen");
  assert.ok(told.every(({ sensor }) => sensor === "exec"));
  return pids.map((pid) => told.find((each) => each.pid === pid)?.posture);
}

const PRELOAD = { loader: [{ name: "LD_PRELOAD", paths: ["/a.so"] }] };
const ENVIRONMENTS = [{ A: "1" }, { LD_LIBRARY_PATH: "/a" }, { LD_PRELOAD: "/a.so" }, { A: "1" }];

test("the loader of any process is told what to preload, since that process may be found to hold keys later", async (t) => {
  assert.deepEqual(await loadersTold(t, false, ENVIRONMENTS), [undefined, undefined, PRELOAD, undefined]);
});

test("where libraries are looked for is told of protected processes", async (t) => {
  const searched = { loader: [], libraryPath: true };
  assert.deepEqual(await loadersTold(t, true, ENVIRONMENTS), [undefined, searched, PRELOAD, undefined]);
});

// The sources of events as one sensor sees them, on the live kernel.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
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

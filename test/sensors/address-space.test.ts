import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { CallMade } from "../../src/observation.ts";
import { createAddressSpace } from "../../src/sensors/address-space.ts";
import { compile } from "../fixtures/compile.ts";
import { spawnTarget } from "../fixtures/target.ts";
import { readTwin } from "../native/twin.ts";
import { until } from "../native/child.ts";
import { createContext } from "./context.ts";

/** The clock stands still, so what was told is never long ago. */
async function watching(call: CallMade["call"]) {
  const target = await spawnTarget();
  after(() => target.stop());
  const { startTime } = readTwin(target.pid)?.process ?? assert.fail("the target is gone");
  const id = { pid: target.pid, startTime };
  const clock = { now: 1_000 };
  const context = { ...createContext([id]), now: () => clock.now };
  const sensor = createAddressSpace(context);
  after(async () => {
    await sensor.stop();
    context.close();
  });
  await sensor.start();
  const seen = (path: string): boolean =>
    context.of("maps.seen").some(({ mappings }) => mappings.some((each) => each.path === path));
  const tell = (): void =>
    sensor.notice?.({ kind: "call.made", at: 1_000, sensor: "calls", call, ...id, tid: id.pid, byPid: id.pid, byTid: id.pid, suppressed: 0 }); // prettier-ignore
  return { target, clock, context, sensor, seen, tell };
}

test("a library is seen without a pass, also one that was not told because another had just been", async () => {
  const { target, sensor, seen, tell } = await watching("map-file");
  tell();
  for (const name of ["evil", "audit"]) {
    const library = compile(name, { shared: true });
    await target.command(`dlopen ${library}`);
    await until(`${name} in the mappings`, () => seen(library) || undefined);
  }
  // It does not go on for ever.
  await sensor.stop();
});

test("when what was told is long enough ago, or the clock was set back, the next pass is soon enough", async () => {
  for (const now of [1_003, 10]) {
    const { target, clock, sensor, seen, tell } = await watching("map-file");
    clock.now = now;
    tell();
    await sensor.pass?.(false);
    const library = compile("evil", { shared: true });
    await target.command(`dlopen ${library}`);
    assert.equal(seen(library), false);
    await sensor.pass?.(false);
    assert.equal(seen(library), true);
  }
});

test("memory that is to be made code is looked at when that is told, and once more when it is done", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { target, sensor, seen, tell } = await watching("map-code");
  const [first = "", second = "", third = ""] = ["evil", "audit", "preload"].map((each) =>
    compile(each, { shared: true }),
  );
  await target.command(`dlopen ${first}`);
  for (let time = 0; time < 100; time++) tell();
  while (!seen(first)) await nextTurn();
  await target.command(`dlopen ${second}`);
  assert.equal(seen(second), false);
  t.mock.timers.tick(5);
  while (!seen(second)) await nextTurn();
  await target.command(`dlopen ${third}`);
  t.mock.timers.tick(1_000);
  await nextTurn();
  assert.equal(seen(third), false, "it does not go on for ever");
  await sensor.pass?.(false);
  assert.equal(seen(third), true);
});

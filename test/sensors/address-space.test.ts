import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { CallMade } from "../../src/observation.ts";
import { createAddressSpace } from "../../src/sensors/address-space.ts";
import { compile } from "../fixtures/compile.ts";
import { spawnTarget } from "../fixtures/target.ts";
import { readTwin } from "../native/twin.ts";
import { createContext } from "./context.ts";

async function watching(call: CallMade["call"]) {
  const target = await spawnTarget();
  after(() => target.stop());
  const { startTime } = readTwin(target.pid)?.process ?? assert.fail("the target is gone");
  const id = { pid: target.pid, startTime };
  const context = createContext([id]);
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
  return { target, sensor, seen, tell };
}

for (const call of ["map-file", "map-code"] as const)
  test(`${call}: what is mapped is seen without a pass, also what comes soon after and is not told, or later than told`, async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { target, sensor, seen, tell } = await watching(call);
    const [first = "", second = "", third = "", fourth = ""] = ["evil", "audit", "preload", "erase"].map((name) =>
      compile(name, { shared: true }),
    );
    const load = (path: string): Promise<unknown> => target.command(`dlopen ${path}`);
    const becomesSeen = async (path: string): Promise<void> => {
      while (!seen(path)) await nextTurn();
      // What schedules the next look.
      await nextTurn();
    };
    await load(first);
    for (let time = 0; time < 100; time++) tell();
    await becomesSeen(first);
    await load(second);
    assert.equal(seen(second), false);
    t.mock.timers.tick(2);
    await becomesSeen(second);
    await load(third);
    t.mock.timers.tick(5);
    await becomesSeen(third);
    await load(fourth);
    t.mock.timers.tick(1_000);
    await nextTurn();
    assert.equal(seen(fourth), false, "it does not go on for ever");
    await sensor.pass?.(false);
    assert.equal(seen(fourth), true);
  });

test("of a call that maps nothing there is no look", async () => {
  const { target, seen, sensor, tell } = await watching("compare");
  const library = compile("evil", { shared: true });
  await target.command(`dlopen ${library}`);
  tell();
  await sensor.stop();
  assert.equal(seen(library), false);
});

test("a pid that another process has taken over: its mappings are not those of the one before", async () => {
  const target = await spawnTarget();
  after(() => target.stop());
  const { startTime } = readTwin(target.pid)?.process ?? assert.fail("the target is gone");
  const before = { pid: target.pid, startTime: startTime - 1 };
  const context = createContext([before]);
  after(() => context.close());
  const sensor = createAddressSpace(context);
  await sensor.start();
  await sensor.stop();
  assert.deepEqual(context.of("maps.seen"), []);
});

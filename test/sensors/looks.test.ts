import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createLooks } from "../../src/sensors/looks.ts";

const VAULT = { pid: 7, startTime: 1 };
const AFTER_MS = [3, 20, 100] as const;

/** The time stands still but for `wait`; what was looked at, and when. */
function started(t: TestContext, during?: (time: number) => void) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  const seen: string[] = [];
  const looks = createLooks(async ({ pid }) => {
    seen.push(`${pid} at ${now}`);
    during?.(seen.length);
  }, AFTER_MS);
  t.after(() => looks.stop());
  return {
    looks,
    seen,
    async wait(ms: number): Promise<void> {
      for (await nextTurn(); ms > 0; ms--) {
        now++;
        t.mock.timers.tick(1);
        await nextTurn();
      }
    },
  };
}

describe("looks", () => {
  it("follow at once, and so long after each other, and end", async (t) => {
    const { looks, seen, wait } = started(t);
    looks.soon(VAULT);
    await wait(1_000);
    assert.deepEqual(seen, ["7 at 0", "7 at 3", "7 at 23", "7 at 123"]);
    looks.soon(VAULT);
    await wait(1);
    assert.equal(seen.length, 5);
  });

  it("are as many for however much is told together, of each process by itself", async (t) => {
    const { looks, seen, wait } = started(t);
    for (let time = 0; time < 100; time++) for (const pid of [7, 8]) looks.soon({ pid, startTime: 1 });
    await wait(1_000);
    assert.deepEqual(seen, [0, 3, 23, 123].flatMap((at) => [`7 at ${at}`, `8 at ${at}`])); // prettier-ignore
  });

  it("begin again soon when something is told between two that are far apart", async (t) => {
    const { looks, seen, wait } = started(t);
    looks.soon(VAULT);
    await wait(30);
    looks.soon(VAULT);
    await wait(1_000);
    assert.deepEqual(seen, ["7 at 0", "7 at 3", "7 at 23", "7 at 33", "7 at 53", "7 at 153"]);
  });

  it("begin again when something is told while one is under way", async (t) => {
    const { looks, seen, wait } = started(t, (time) => {
      if (time === 4) looks.soon(VAULT);
    });
    looks.soon(VAULT);
    await wait(1_000);
    assert.deepEqual(seen, [0, 3, 23, 123, 126, 146, 246].map((at) => `7 at ${at}`)); // prettier-ignore
  });

  it("follow what is told just before one, which may come too early", async (t) => {
    const { looks, seen, wait } = started(t);
    looks.soon(VAULT);
    await wait(2);
    looks.soon(VAULT);
    await wait(10);
    assert.deepEqual(seen, ["7 at 0", "7 at 3"]);
    await wait(20);
    assert.equal(seen.at(-1), "7 at 23");
  });

  it("are a few milliseconds apart where there is no end of telling", async (t) => {
    const { looks, seen, wait } = started(t);
    for (let ms = 0; ms < 100; ms++) {
      looks.soon(VAULT);
      await wait(1);
    }
    const times = seen.map((each) => Number(each.split(" ").at(-1)));
    for (const [index, time] of times.entries()) {
      const apart = time - (times[index - 1] ?? -3);
      assert.ok(apart >= 3 && apart <= 6, times.join(" "));
    }
  });

  it("go on after one that fails; what is done in between is done in its turn, and says how it ended", async (t) => {
    const { looks, seen, wait } = started(t, () => assert.fail("its memory may not be read"));
    looks.soon(VAULT);
    const between = looks.next(async () => {
      assert.deepEqual(seen, ["7 at 0"]);
      throw new Error("of the pass");
    });
    await assert.rejects(between, /of the pass/);
    await wait(3);
    assert.deepEqual(seen, ["7 at 0", "7 at 3"]);
  });

  it("do not begin after the end, which awaits the one that is under way", async (t) => {
    const { looks, seen, wait } = started(t);
    looks.soon(VAULT);
    await wait(1);
    let ended = false;
    void looks.next(async () => {
      await nextTurn();
      ended = true;
    });
    await looks.stop();
    assert.equal(ended, true);
    looks.soon({ pid: 8, startTime: 1 });
    await wait(1_000);
    assert.deepEqual(seen, ["7 at 0"]);
  });
});

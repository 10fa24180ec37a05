import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { outboxDirectory } from "../../src/store/outbox-directory.ts";
import { openSpool, type Deliver, type OutboxOptions, type Spool } from "../../src/store/spool.ts";
import { namesIn, scratch, smallDisk, until, type Trouble } from "./scratch.ts";

const QUICK: OutboxOptions = { minRetryMs: 2, maxRetryMs: 8, timeoutMs: 5000 };

async function spoolIn(
  t: TestContext,
  directory: string,
  maxAlerts = 100,
): Promise<{ spool: Spool; troubles: Trouble[] }> {
  const troubles: Trouble[] = [];
  const onTrouble = (message: string, recovered: boolean) => void troubles.push({ message, recovered });
  const spool = await openSpool({ directory, maxAlerts, now: () => Date.now(), onTrouble });
  t.after(() => spool.close(0));
  return { spool, troubles };
}

/** A sink that takes what `open` lets it. */
function sink(): { taken: string[]; tries: number; open: boolean; deliver: Deliver } {
  const self = {
    taken: [] as string[],
    tries: 0,
    open: true,
    async deliver(payload: string) {
      self.tries += 1;
      if (!self.open) throw new Error("the sink is shut");
      self.taken.push(payload);
    },
  };
  return self;
}

const letters = (count: number) => Array.from({ length: count }, (_, n) => JSON.stringify({ n }));

test("alerts are delivered in the order they were pushed, and leave nothing on disk", async (t) => {
  const directory = join(scratch(t), "made/spool");
  const { spool, troubles } = await spoolIn(t, directory);
  const far = sink();
  const outbox = spool.outbox("https://example.org/hook?x=1", far.deliver, QUICK);
  const results = await Promise.all(letters(50).map((payload) => outbox.push(payload)));
  assert.ok(results.every((result) => result === "queued"));
  await until("all are delivered", () => far.taken.length === 50);
  await spool.close(1000);
  assert.deepEqual(far.taken, letters(50));
  assert.deepEqual(outbox.stats(), { waiting: 0, delivered: 50, refused: 0, putAside: 0 });
  assert.deepEqual(troubles, []);
  const [name = ""] = namesIn(directory);
  assert.match(name, /^https_example_org_hook_x_1-[0-9a-f]{12}$/);
  assert.deepEqual(namesIn(join(directory, name)), []);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, name)).mode & 0o777, 0o700);
});

test("a sink that refuses is tried again, told once and told again when it takes alerts", async (t) => {
  const { spool, troubles } = await spoolIn(t, scratch(t));
  const far = sink();
  far.open = false;
  const outbox = spool.outbox("pager", far.deliver, QUICK);
  for (const payload of letters(3)) await outbox.push(payload);
  await until("it was tried many times", () => far.tries >= 10);
  assert.equal(troubles.length, 1);
  assert.match(
    troubles[0]?.message ?? "",
    /^pager has been refusing since \d{4}-.*, [123] alerts wait: the sink is shut$/,
  );
  assert.equal(outbox.stats().waiting, 3);
  assert.equal(typeof outbox.stats().failingSince, "number");
  far.open = true;
  await until("all are delivered", () => outbox.stats().delivered === 3);
  assert.deepEqual(far.taken, letters(3));
  await until("recovery was told", () => troubles.length === 2);
  assert.match(troubles[1]?.message ?? "", /^pager takes alerts again after \d+ s, 2 still wait$/);
  assert.equal(troubles[1]?.recovered, true);
});

test("one refusal is not told", async (t) => {
  const { spool, troubles } = await spoolIn(t, scratch(t));
  let tries = 0;
  const outbox = spool.outbox(
    "flaky",
    async () => {
      tries += 1;
      if (tries % 2 === 1) throw new Error("not now");
    },
    QUICK,
  );
  for (const payload of letters(5)) await outbox.push(payload);
  await until("all are delivered", () => outbox.stats().delivered === 5);
  assert.equal(tries, 10);
  assert.deepEqual(troubles, []);
});

test("pauses between tries grow from the shortest to the longest, with jitter below them", async (t) => {
  const { spool } = await spoolIn(t, scratch(t));
  const at: number[] = [];
  const outbox = spool.outbox(
    "down",
    async () => {
      at.push(performance.now());
      throw new Error("down");
    },
    { minRetryMs: 10, maxRetryMs: 80 },
  );
  await outbox.push("{}");
  await until("it was tried eight times", () => at.length >= 8);
  // A timer is never early by more than its millisecond; late it may be.
  const least = [5, 10, 20, 40, 40, 40, 40];
  for (const [index, ms] of least.entries()) {
    assert.ok(
      (at[index + 1] ?? 0) - (at[index] ?? 0) >= ms - 2,
      `pause ${index}: ${(at[index + 1] ?? 0) - (at[index] ?? 0)}`,
    );
  }
});

test("a sink that hangs is given up by its signal, also if it does not heed it", async (t) => {
  const { spool, troubles } = await spoolIn(t, scratch(t));
  const signals: AbortSignal[] = [];
  const outbox = spool.outbox(
    "hanging",
    async (_payload, signal) => {
      signals.push(signal);
      if (signals.length < 4) await new Promise(() => {});
    },
    { ...QUICK, timeoutMs: 20 },
  );
  await outbox.push("{}");
  await until("it is delivered", () => outbox.stats().delivered === 1);
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [true, true, true, false],
  );
  assert.match(troubles[0]?.message ?? "", /no answer within 20 ms/);
});

test("what was not delivered is delivered after a restart, before what is new", async (t) => {
  const directory = scratch(t);
  const first = await spoolIn(t, directory);
  const shut = sink();
  shut.open = false;
  const before = first.spool.outbox("mail", shut.deliver, QUICK);
  for (const payload of letters(12)) await before.push(payload);
  await first.spool.close(0);
  writeFileSync(join(outboxDirectory(directory, "mail"), "000000000099.json.tmp"), "half");
  const second = await spoolIn(t, directory);
  const far = sink();
  const after = second.spool.outbox("mail", far.deliver, QUICK);
  await after.push("new");
  await until("all are delivered", () => after.stats().delivered === 13);
  assert.deepEqual(far.taken, [...letters(12), "new"]);
  // A file goes after its delivery was counted.
  await until("nothing is left", () => namesIn(outboxDirectory(directory, "mail")).length === 0);
});

const FINAL: OutboxOptions = { ...QUICK, finalRefusals: 3, finalRefusalMs: 20 };
const forGood = () => Object.assign(new Error("expected a 2xx status, got 400"), { permanent: true });

test("an alert that is refused for good is put aside, told and kept; the others are delivered in order", async (t) => {
  const directory = scratch(t);
  const { spool, troubles } = await spoolIn(t, directory);
  const taken: string[] = [];
  const at: number[] = [];
  const outbox = spool.outbox(
    "hook",
    async (payload) => {
      if (payload === "bad") {
        at.push(performance.now());
        throw forGood();
      }
      taken.push(payload);
    },
    FINAL,
  );
  for (const payload of ["a", "bad", "b"]) await outbox.push(payload);
  await until("the others are delivered", () => outbox.stats().delivered === 2);
  assert.deepEqual(taken, ["a", "b"]);
  assert.ok(at.length >= 3, `it was tried ${at.length} times`);
  assert.ok((at.at(-1) ?? 0) - (at[0] ?? 0) >= 20 - 2, "not before the time is over");
  assert.deepEqual(outbox.stats(), { waiting: 0, delivered: 2, refused: 0, putAside: 1 });
  const own = outboxDirectory(directory, "hook");
  await until("only the refused one is left", () => namesIn(own).join() === "000000000002.json.refused");
  assert.match(readFileSync(join(own, "000000000002.json.refused"), "utf8"), /"payload":"bad"/);
  const told = troubles.filter(({ message }) => /refused an alert for good/.test(message));
  assert.equal(told.length, 1);
  assert.match(
    told[0]?.message ?? "",
    /^hook refused an alert for good, \d+ times: expected a 2xx status, got 400; it is kept as .*2\.json\.refused/,
  );
  await until("recovery was told", () => troubles.some(({ message }) => message.startsWith("hook takes alerts again")));

  // Its number is not used again, and it does not come back.
  await spool.close(0);
  const second = await spoolIn(t, directory);
  const far = sink();
  const after = second.spool.outbox("hook", far.deliver, FINAL);
  await after.push("c");
  await until("it is delivered", () => after.stats().delivered === 1);
  assert.deepEqual(far.taken, ["c"]);
  await until("it is removed", () => namesIn(own).join() === "000000000002.json.refused");
});

test("a refusal of another kind in between begins the count anew, and waiting alone puts nothing aside", async (t) => {
  const { spool } = await spoolIn(t, scratch(t));
  let tries = 0;
  const mixed = spool.outbox(
    "mixed",
    async () => {
      tries += 1;
      if (tries > 40) return;
      throw tries % 3 === 0 ? new Error("away") : forGood();
    },
    { ...FINAL, finalRefusalMs: 0 },
  );
  let early = 0;
  const patient = spool.outbox(
    "patient",
    async () => {
      early += 1;
      if (early <= 40) throw forGood();
    },
    { ...FINAL, finalRefusalMs: 3_600_000 },
  );
  await mixed.push("{}");
  await patient.push("{}");
  await until("both are delivered", () => mixed.stats().delivered + patient.stats().delivered === 2);
  assert.deepEqual([mixed.stats().putAside, patient.stats().putAside], [0, 0]);
});

test("of those refused for good as many are kept as may wait, through a restart too", async (t) => {
  const directory = scratch(t);
  const own = outboxDirectory(directory, "hook");
  const refuse = async () => {
    throw forGood();
  };
  for (const round of [1, 2]) {
    const { spool, troubles } = await spoolIn(t, directory, 2);
    const outbox = spool.outbox("hook", refuse, { ...FINAL, finalRefusals: 1, finalRefusalMs: 0 });
    for (let n = 1; n <= 2; n += 1) {
      await outbox.push("{}");
      await until("it is put aside", () => outbox.stats().putAside === n);
    }
    await spool.close(0);
    const removed = troubles.filter(({ message }) => / is removed: at most 2 refused alerts are kept/.test(message));
    assert.equal(removed.length, round === 1 ? 0 : 2);
  }
  assert.deepEqual(namesIn(own), ["000000000003.json.refused", "000000000004.json.refused"]);
});

test("an alert that is only in memory is not put aside before the disk takes it", async (t) => {
  const directory = smallDisk(t, 64);
  const { spool } = await spoolIn(t, directory);
  let tries = 0;
  const outbox = spool.outbox(
    "hook",
    async () => {
      tries += 1;
      throw forGood();
    },
    { ...FINAL, finalRefusals: 1, finalRefusalMs: 0 },
  );
  await until("the outbox is ready", () => namesIn(directory).length === 1);
  const filler = join(directory, "filler");
  assert.throws(() => writeFileSync(filler, Buffer.alloc(128 * 1024)), { code: "ENOSPC" });
  await outbox.push("held");
  await until("it was tried many times", () => tries >= 5);
  assert.deepEqual([outbox.stats().waiting, outbox.stats().putAside], [1, 0]);
  rmSync(filler);
  await until("it is put aside", () => outbox.stats().putAside === 1);
  assert.match(readFileSync(join(outboxDirectory(directory, "hook"), "000000000001.json.refused"), "utf8"), /held/);
});

test("a full outbox refuses what is new, counts it, and tells the count when it is empty again", async (t) => {
  const { spool, troubles } = await spoolIn(t, scratch(t), 5);
  const far = sink();
  far.open = false;
  const outbox = spool.outbox("slow", far.deliver, QUICK);
  const results = [];
  for (const payload of letters(9)) results.push(await outbox.push(payload));
  assert.deepEqual(results, [...Array(5).fill("queued"), ...Array(4).fill("full")]);
  assert.equal(outbox.stats().refused, 4);
  assert.equal(troubles.filter(({ message }) => /is full \(5 alerts wait\)/.test(message)).length, 1);
  far.open = true;
  await until("the count was told", () => troubles.some(({ message }) => /4 alerts were refused/.test(message)));
  assert.deepEqual(far.taken, letters(5));
  assert.equal(await outbox.push("again"), "queued");
  await until("it is delivered", () => outbox.stats().delivered === 6);
});

test("a burst is bounded too, before it reaches the disk", async (t) => {
  const { spool } = await spoolIn(t, scratch(t), 5);
  const far = sink();
  far.open = false;
  const outbox = spool.outbox("burst", far.deliver, QUICK);
  const results = await Promise.all(letters(1000).map((payload) => outbox.push(payload)));
  assert.equal(results.filter((result) => result === "queued").length, 5);
  assert.equal(outbox.stats().refused, 995);
});

test("outboxes do not hold up each other, and a name is opened once", async (t) => {
  const { spool } = await spoolIn(t, scratch(t));
  const shut = sink();
  shut.open = false;
  const far = sink();
  const one = spool.outbox("a/b", shut.deliver, QUICK);
  const other = spool.outbox("a?b", far.deliver, QUICK);
  await one.push("one");
  await other.push("other");
  await until("the other is delivered", () => other.stats().delivered === 1);
  assert.deepEqual([one.stats().waiting, far.taken], [1, ["other"]]);
  assert.throws(() => spool.outbox("a/b", far.deliver), { code: "RIMON_USAGE" });
});

const corruptions: readonly { name: string; corrupt: (file: string) => void }[] = [
  { name: "cut short", corrupt: (file) => writeFileSync(file, readFileSync(file).subarray(0, -5)) },
  { name: "empty", corrupt: (file) => writeFileSync(file, "") },
  {
    name: "changed",
    corrupt: (file) => writeFileSync(file, readFileSync(file, "utf8").replace('\\"n\\":1', '\\"n\\":7')),
  },
  { name: "of another kind", corrupt: (file) => writeFileSync(file, "[1]") },
  {
    name: "a link",
    corrupt: (file) => {
      renameSync(file, `${file}-elsewhere`);
      symlinkSync(`${file}-elsewhere`, file);
    },
  },
  {
    name: "a directory",
    corrupt: (file) => {
      rmSync(file);
      mkdirSync(file);
    },
  },
];
for (const { name, corrupt } of corruptions) {
  test(`a waiting file that is ${name} is put aside and told; the others are delivered`, async (t) => {
    const directory = scratch(t);
    const first = await spoolIn(t, directory);
    const shut = sink();
    shut.open = false;
    const before = first.spool.outbox("mail", shut.deliver, QUICK);
    for (const payload of letters(3)) await before.push(payload);
    await first.spool.close(0);
    const own = outboxDirectory(directory, "mail");
    corrupt(join(own, "000000000002.json"));
    const second = await spoolIn(t, directory);
    const far = sink();
    const after = second.spool.outbox("mail", far.deliver, QUICK);
    await until("the others are delivered", () => after.stats().delivered === 2);
    assert.deepEqual(far.taken, ['{"n":0}', '{"n":2}']);
    assert.equal(second.troubles.length, 1);
    assert.match(second.troubles[0]?.message ?? "", /000000000002\.json is unusable .*kept as .*\.bad/);
    assert.ok(namesIn(own).includes("000000000002.json.bad"));
  });
}

test("a file that is gone is told, not waited for", async (t) => {
  const directory = scratch(t);
  const { spool, troubles } = await spoolIn(t, directory);
  const far = sink();
  far.open = false;
  const outbox = spool.outbox("mail", far.deliver, QUICK);
  for (const payload of letters(2)) await outbox.push(payload);
  rmSync(join(outboxDirectory(directory, "mail"), "000000000002.json"));
  far.open = true;
  await until("nothing waits", () => outbox.stats().waiting === 0);
  assert.deepEqual(far.taken, ['{"n":0}']);
  assert.ok(troubles.some(({ message }) => /it is gone/.test(message)));
});

test("on a full disk alerts wait in memory, bounded, and go to disk when there is room", async (t) => {
  const directory = smallDisk(t, 64);
  const { spool, troubles } = await spoolIn(t, directory, 6);
  const far = sink();
  far.open = false;
  const outbox = spool.outbox("mail", far.deliver, QUICK);
  await outbox.push("on disk");
  const filler = join(directory, "filler");
  assert.throws(() => writeFileSync(filler, Buffer.alloc(128 * 1024)), { code: "ENOSPC" });
  for (let n = 0; n < 5; n += 1) assert.equal(await outbox.push(`held ${n}`), "queued");
  assert.equal(await outbox.push("too many"), "full");
  assert.ok(
    troubles.some(({ message }) =>
      /cannot be written \(ENOSPC.*at most 6 alerts for mail wait in memory/.test(message),
    ),
  );
  rmSync(filler);
  await until("the held ones are on disk", () => namesIn(outboxDirectory(directory, "mail")).length === 6);
  await until("recovery was told", () => troubles.some(({ message }) => /can be written again/.test(message)));
  far.open = true;
  await until("all are delivered", () => outbox.stats().delivered === 6);
  assert.deepEqual(far.taken, ["on disk", "held 0", "held 1", "held 2", "held 3", "held 4"]);
});

test("without a directory at all alerts are delivered from memory, and what is left at the end is told", async (t) => {
  const directory = join(scratch(t), "file");
  writeFileSync(directory, "in the way");
  const { spool, troubles } = await spoolIn(t, directory);
  const far = sink();
  const outbox = spool.outbox("mail", far.deliver, QUICK);
  await outbox.push("one");
  await until("it is delivered", () => outbox.stats().delivered === 1);
  far.open = false;
  await outbox.push("two");
  await spool.close(0);
  assert.match(troubles[0]?.message ?? "", /cannot be written/);
  assert.match(troubles.at(-1)?.message ?? "", /^1 alerts for mail were only in memory and are lost/);
});

test("a directory that could not be listed at the start is not written over", async (t) => {
  const directory = scratch(t);
  const own = outboxDirectory(directory, "mail");
  writeFileSync(own, "in the way");
  const { spool, troubles } = await spoolIn(t, directory);
  const far = sink();
  const outbox = spool.outbox("mail", far.deliver, QUICK);
  await until("the trouble was told", () => troubles.length > 0);
  rmSync(own);
  mkdirSync(own, { mode: 0o700 });
  writeFileSync(join(own, "000000000001.json"), "old");
  await outbox.push("new");
  await until("it is delivered", () => outbox.stats().delivered === 1);
  assert.deepEqual(namesIn(own), ["000000000001.json"]);
  assert.equal(readFileSync(join(own, "000000000001.json"), "utf8"), "old");
  assert.match(troubles.at(-1)?.message ?? "", /can be written again/);
});

test("closing gives what is in flight its time, then its signal", async (t) => {
  const directory = scratch(t);
  const { spool } = await spoolIn(t, directory);
  let release: (() => void) | undefined;
  const slow = spool.outbox("slow", () => new Promise((resolve) => (release = resolve)), QUICK);
  let started = false;
  let aborted = false;
  const deaf = spool.outbox(
    "deaf",
    (_payload, signal) => {
      started = true;
      signal.addEventListener("abort", () => (aborted = true));
      return new Promise(() => {});
    },
    QUICK,
  );
  await slow.push("a");
  await deaf.push("b");
  await until("both are in flight", () => release !== undefined && started);
  const closed = spool.close(200);
  setTimeout(() => release?.(), 10);
  await closed;
  assert.deepEqual([slow.stats().delivered, deaf.stats().delivered, aborted], [1, 0, true]);
  assert.deepEqual(namesIn(outboxDirectory(directory, "slow")), []);
  assert.deepEqual(namesIn(outboxDirectory(directory, "deaf")), ["000000000001.json"]);
});

test("kills lose no queued alert, and keep the order", { timeout: 120_000 }, async (t) => {
  const directory = scratch(t);
  const child = fileURLToPath(new URL("spool-child.ts", import.meta.url));
  const queued: string[] = [];
  const delivered: string[] = [];
  for (let kill = 0; kill < 8; kill += 1) {
    const writer = spawn(process.execPath, ["--import", "tsx", child, directory, `r${kill}`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(writer, "close");
    const wanted = queued.length + Math.floor(Math.random() * 15);
    let due = false;
    for await (const line of createInterface({ input: writer.stdout })) {
      const [word, id = ""] = line.split(" ");
      if (word === "queued") queued.push(id);
      else delivered.push(id);
      if (due || queued.length <= wanted) continue;
      due = true;
      setTimeout(() => writer.kill("SIGKILL"), Math.random() * 5);
    }
    await ended;
  }
  const { spool } = await spoolIn(t, directory, 100_000);
  const outbox = spool.outbox("sink", async (payload) => void delivered.push(payload), QUICK);
  await outbox.push("last");
  await until("the last is delivered", () => delivered.includes("last"));
  const seen = new Set(delivered);
  assert.deepEqual(
    queued.filter((id) => !seen.has(id)),
    [],
  );
  // A delivery may be repeated after a kill; the first ones are in order.
  const first = [...seen].filter((id) => queued.includes(id));
  assert.deepEqual(first, queued);
});

/** What a run leaves whose sinks take nothing. */
async function leave(t: TestContext, directory: string, boxes: readonly (readonly [string, OutboxOptions])[]) {
  const { spool } = await spoolIn(t, directory);
  const shut = sink();
  shut.open = false;
  for (const [name, options] of boxes) {
    const outbox = spool.outbox(name, shut.deliver, { ...QUICK, ...options });
    for (const payload of letters(2)) await outbox.push(`${name} ${payload}`);
  }
  await spool.close(0);
}

test("an outbox with a key is found again under another name", async (t) => {
  const directory = scratch(t);
  await leave(t, directory, [
    ["mail 1", { key: "a" }],
    ["mail 2", { key: "b" }],
  ]);
  const { spool, troubles } = await spoolIn(t, directory);
  const [a, b] = [sink(), sink()];
  spool.outbox("mail 1", b.deliver, { ...QUICK, key: "b" });
  spool.outbox("mail 2", a.deliver, { ...QUICK, key: "a" });
  await spool.tellAbandoned();
  await until("all are delivered", () => a.taken.length + b.taken.length === 4);
  assert.ok(a.taken.every((payload) => payload.startsWith("mail 1 ")));
  assert.ok(b.taken.every((payload) => payload.startsWith("mail 2 ")));
  assert.deepEqual(troubles, []);
});

test("what waits under the name alone is taken over, or told where there is no such name any more", async (t) => {
  const directory = scratch(t);
  await leave(t, directory, [
    ["mail 1", {}],
    ["mail 2", {}],
  ]);
  const { spool, troubles } = await spoolIn(t, directory);
  const far = sink();
  spool.outbox("mail 1", far.deliver, { ...QUICK, key: "a" });
  await spool.tellAbandoned();
  await until("both are delivered", () => far.taken.length === 2);
  assert.deepEqual(
    far.taken.map((payload) => payload.slice(0, 6)),
    ["mail 1", "mail 1"],
  );
  const old = outboxDirectory(directory, "mail 2");
  assert.deepEqual(
    troubles.map(({ message }) => message),
    [
      `2 alerts wait in ${old} for a sink that is no longer configured: configured again, it gets them; ` +
        "if it will not be, remove that folder",
    ],
  );
  assert.ok(!namesIn(directory).includes(basename(outboxDirectory(directory, "mail 1"))));
  await spool.close(0);

  // What was put aside was told when that was done.
  for (const name of namesIn(old)) renameSync(join(old, name), join(old, `${name}.refused`));
  const later = await spoolIn(t, directory);
  await later.spool.tellAbandoned();
  assert.deepEqual(later.troubles, []);
});

test("what waits under the name is told where something waits under the key already, and neither is lost", async (t) => {
  const directory = scratch(t);
  await leave(t, directory, [["mail 1", { key: "a" }]]);
  await leave(t, directory, [["mail 1", {}]]);
  // The second run had both: a version that knows no keys came after one that does.
  const { spool, troubles } = await spoolIn(t, directory);
  const far = sink();
  spool.outbox("mail 1", far.deliver, { ...QUICK, key: "a" });
  await spool.tellAbandoned();
  await until("those under the key are delivered", () => far.taken.length === 2);
  assert.equal(troubles.length, 1);
  assert.match(troubles[0]?.message ?? "", /^2 alerts wait in .*mail_1-/);
});

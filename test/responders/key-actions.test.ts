import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import type { Driver } from "../../src/configuration.ts";
import { listenForRimon } from "../../src/custody.ts";
import { createDriver } from "../../src/responders/drivers/all.ts";
import { readAnswer, type KeyAnswer, type KeyDriver, type KeyRequest } from "../../src/responders/drivers/driver.ts";
import { fillIn } from "../../src/responders/drivers/http.ts";
import { createEvictResponder } from "../../src/responders/evict-tenant-keks.ts";
import { createKeyHistory } from "../../src/responders/key-history.ts";
import { createRotateResponder } from "../../src/responders/rotate-master-key.ts";
import { until, verdictOf } from "./verdicts.ts";

const folder = mkdtempSync(join(tmpdir(), "rimon-keys-"));
after(() => rmSync(folder, { recursive: true }));

const ON = { enabled: true, cooldownMs: 60_000 };
const NODE = process.execPath;
const never = new AbortController().signal;
const finding = (id: string, tenants = ["org-pharma"]) => verdictOf({ id, tenants });

/** A keeper whose answers the test gives one by one. */
function keeper() {
  const asked: { request: KeyRequest; answer: (answer: KeyAnswer) => void; fail: (error: Error) => void }[] = [];
  const driver: KeyDriver = {
    request: (request, signal) =>
      new Promise((answer, fail) => {
        signal.addEventListener("abort", () => fail(new Error("stopped")));
        asked.push({ request, answer, fail });
      }),
  };
  return { asked, driver };
}

test("a storm of findings rotates once, and again after the cooldown", async () => {
  let now = Date.parse("2026-04-17T10:00:00Z");
  const { asked, driver } = keeper();
  const responder = createRotateResponder(ON, () => now, driver);
  const storm = Array.from({ length: 200 }, (_, index) => responder.respond(finding(`F${index}`)));
  await until(() => asked.length > 0);
  now += 41;
  asked[0]?.answer({ epoch: 8, previousEpoch: 7 });
  const outcomes = await Promise.all(storm);
  assert.equal(asked.length, 1);
  assert.deepEqual(asked[0]?.request, {
    action: "rotate-master-key",
    finding: "F0",
    rule: "memory-read",
    severity: "critical",
    node: "node-7",
    time: "2026-04-17T10:00:00.000Z",
    tenants: ["org-pharma"],
  });
  assert.equal(outcomes[0]?.message, "rotated the master key to epoch 8 from 7");
  assert.equal(outcomes[0]?.durationMs, 41);
  assert.deepEqual(outcomes[0]?.details, { epoch: 8, previousEpoch: 7 });
  assert.ok(outcomes.every(({ result }) => result === "done"));
  assert.equal(outcomes[199]?.message, "together with finding F0: rotated the master key to epoch 8 from 7");

  now += 59_000;
  const late = await responder.respond(finding("late"));
  assert.equal(late.result, "skipped");
  assert.equal(
    late.message,
    "finding F0 rotated the master key to epoch 8 from 7; possible again at 2026-04-17T10:01:00.041Z",
  );

  now += 1_000;
  const next = responder.respond(finding("next"));
  await until(() => asked.length === 2);
  asked[1]?.answer({});
  assert.equal((await next).message, "rotated the master key; the keeper named no epoch");

  now -= 3_600_000;
  const back = responder.respond(finding("after the clock was set back"));
  await until(() => asked.length === 3);
  asked[2]?.answer({ epoch: 9 });
  assert.equal((await back).result, "done");
});

test("a rotation that failed may be tried again at once, one attempt at a time", async () => {
  const { asked, driver } = keeper();
  const responder = createRotateResponder(ON, Date.now, driver);
  const [first, joined] = [responder.respond(finding("A")), responder.respond(finding("B"))];
  await until(() => asked.length === 1);
  asked[0]?.fail(new Error("the HSM is away"));
  assert.equal((await first).message, "the master key was not rotated: the HSM is away");
  assert.equal((await joined).result, "failed");
  const retry = responder.respond(finding("C"));
  await until(() => asked.length === 2);
  asked[1]?.answer({ epoch: 2 });
  assert.equal((await retry).result, "done");
  assert.equal((await responder.respond(finding("D"))).result, "skipped");

  const throwing: KeyDriver = {
    request() {
      throw new Error("before anything was sent");
    },
  };
  const broken = createRotateResponder(ON, Date.now, throwing);
  for (const id of ["A", "B"]) assert.equal((await broken.respond(finding(id))).result, "failed");
});

test("close lets an attempt end, then ends it", async () => {
  const { asked, driver } = keeper();
  const rotate = createRotateResponder(ON, Date.now, driver);
  const evict = createEvictResponder(ON, Date.now, driver);
  const outcomes = [rotate.respond(finding("A")), evict.respond(finding("A"))];
  await until(() => asked.length === 2);
  await Promise.all([rotate.close?.(10), evict.close?.(10)]);
  for (const outcome of await Promise.all(outcomes)) {
    assert.equal(outcome.result, "failed");
    assert.match(outcome.message, /stopped/);
  }
});

test("eviction: each tenant has its own cooldown", async () => {
  let now = Date.parse("2026-04-17T10:00:00Z");
  const { asked, driver } = keeper();
  const responder = createEvictResponder(ON, () => now, driver);
  const first = responder.respond(finding("A", ["org-pharma"]));
  const both = responder.respond(finding("B", ["org-pharma", "org-bio"]));
  await until(() => asked.length === 2);
  assert.deepEqual(asked[1]?.request.tenants, ["org-bio"]);
  asked[0]?.answer({ evicted: 3 });
  asked[1]?.answer({ evicted: 1 });
  assert.equal((await first).message, "evicted 3 cached keys of org-pharma");
  assert.deepEqual((await first).details, { evicted: 3 });
  assert.equal(
    (await both).message,
    "evicted 3 cached keys of org-pharma together with finding A; evicted 1 cached keys of org-bio",
  );
  assert.deepEqual((await both).details, { evicted: 1 });

  now += 1_000;
  const again = await responder.respond(finding("C", ["org-bio", "org-pharma"]));
  assert.equal(again.result, "skipped");
  assert.match(
    again.message,
    /finding B evicted those of org-bio; possible again at 2026-04-17T10:01:00.000Z; finding A/,
  );

  const third = responder.respond(finding("D", ["org-bio", "org-new"]));
  await until(() => asked.length === 3);
  assert.deepEqual(asked[2]?.request.tenants, ["org-new"]);
  asked[2]?.fail(new Error("away"));
  assert.equal((await third).result, "failed");
  const fourth = responder.respond(finding("E", ["org-new"]));
  await until(() => asked.length === 4);
  asked[3]?.answer({});
  assert.equal((await fourth).message, "evicted the cached keys of org-new");
  assert.equal((await responder.respond(finding("F", []))).result, "skipped");
});

test("responders made anew with the same history keep the cooldown", async () => {
  let now = Date.parse("2026-04-17T10:00:00Z");
  const { asked, driver } = keeper();
  const history = createKeyHistory();
  const make = (settings = ON) => [
    createRotateResponder(settings, () => now, driver, history),
    createEvictResponder(settings, () => now, driver, history),
  ];
  const first = make().map((responder) => responder.respond(finding("A")));
  await until(() => asked.length === 2);
  for (const { answer } of asked) answer({});
  for (const outcome of await Promise.all(first)) assert.equal(outcome.result, "done");

  now += 59_999;
  for (const responder of make()) {
    const outcome = await responder.respond(finding("B"));
    assert.equal(outcome.result, "skipped");
    assert.match(outcome.message, /finding A .*; possible again at 2026-04-17T10:01:00.000Z/);
  }
  // The new cooldown holds, also for what was done before it.
  const shorter = make({ ...ON, cooldownMs: 1_000 }).map((responder) => responder.respond(finding("C")));
  await until(() => asked.length === 4);
  for (const { answer } of asked.slice(2)) answer({});
  for (const outcome of await Promise.all(shorter)) assert.equal(outcome.result, "done");

  now += 60_000;
  make();
  assert.equal(history.evicted.size, 0);
});

test("without a driver, or disabled, it is refused with what to do", async () => {
  for (const create of [createRotateResponder, createEvictResponder]) {
    const { action } = create(ON);
    const bare = await create(ON).respond(finding("A"));
    assert.equal(bare.result, "refused");
    assert.equal(bare.message, `configure actions.${action}.driver, so that the keeper of the keys can be reached`);
    const off = await create({ ...ON, enabled: false }).respond(finding("A"));
    assert.deepEqual([off.result, off.message], ["refused", `set actions.${action}.enabled to true to allow it`]);
  }
});

test("answers: numbers are taken, anything else is said", () => {
  assert.deepEqual(readAnswer(""), {});
  assert.deepEqual(readAnswer('{"epoch":8,"previousEpoch":7,"key":"s3cret"}'), { epoch: 8, previousEpoch: 7 });
  assert.throws(() => readAnswer("<html>\n502"), /expected a JSON object as the answer, got: <html> 502/);
  assert.throws(() => readAnswer("[8]"), /expected a JSON object/);
  assert.throws(() => readAnswer('{"epoch":"8"}'), /expected a whole number as "epoch"/);
  assert.throws(() => readAnswer('{"evicted":-1}'), /expected a whole number as "evicted"/);
  assert.throws(() => readAnswer('{"epoch":7,"previousEpoch":7}'), /expected an epoch after 7/);
  assert.throws(() => readAnswer('{"ok":false,"error":"sealed"}'), /refused or failed: sealed/);
});

function rotateBy(driver: Driver) {
  return createRotateResponder({ ...ON, driver }).respond(finding('F"1'));
}

test("exec driver: request on stdin, answer on the last line", async () => {
  const path = join(folder, "request.json");
  const script = `require("fs").writeFileSync(${JSON.stringify(path)}, require("fs").readFileSync(0));
    console.log("rotating"); console.log('{"epoch":8}');`;
  const outcome = await rotateBy({ kind: "exec", command: [NODE, "-e", script], timeoutMs: 20_000 });
  assert.deepEqual(outcome.details, { epoch: 8 });
  assert.equal((JSON.parse(readFileSync(path, "utf8")) as KeyRequest).finding, 'F"1');
  for (const [code, said] of [
    ["console.log('rotated ok')", /got: rotated ok/],
    ["console.error('sealed'); process.exitCode = 1", /exit code 1: sealed/],
    ["setInterval(() => {}, 1e6)", /did not end within 300 ms/],
  ] as const) {
    const failed = await rotateBy({ kind: "exec", command: [NODE, "-e", code], timeoutMs: 300 });
    assert.equal(failed.result, "failed");
    // On a busy machine even the quick ones may be cut off.
    if (!/within 300 ms/.test(failed.message)) assert.match(failed.message, said);
  }
});

test("http driver: the body as it was written, filled in and escaped", async () => {
  const bodies: string[] = [];
  const answers = ['{"epoch":8,"previousEpoch":7}', "", "oops"];
  const server = createHttp((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      bodies.push(`${request.method} ${body}`);
      response.end(answers.shift());
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/rotate`;
  const driver = { kind: "http", method: "PUT", url, timeoutMs: 20_000 } as const;
  const body = `{"why":"rimon {finding} \\"{rule}\\"","tenants":{tenants},"node":{node},"keep":"{other}"}`;
  assert.deepEqual((await rotateBy({ ...driver, body })).details, { epoch: 8, previousEpoch: 7 });
  assert.deepEqual(JSON.parse(bodies[0]?.slice(4) ?? ""), {
    why: 'rimon F"1 "memory-read"',
    tenants: ["org-pharma"],
    node: "node-7",
    keep: "{other}",
  });
  assert.equal((await rotateBy(driver)).result, "done");
  assert.equal((JSON.parse(bodies[1]?.slice(4) ?? "") as KeyRequest).action, "rotate-master-key");
  const malformed = await rotateBy(driver);
  assert.deepEqual([malformed.result, malformed.message.slice(-9)], ["failed", "got: oops"]);
  server.close();
});

test("http driver: what is filled in never breaks out of the JSON", () => {
  const anything = fc.string({ unit: "binary" });
  const property = fc.property(anything, fc.array(anything), (text, tenants) => {
    const request: KeyRequest = {
      action: "rotate-master-key",
      finding: text,
      rule: text,
      severity: "high",
      node: text,
      time: "",
      tenants,
    };
    const filled: unknown = JSON.parse(fillIn('{"a":"<{finding}>","b":{rule},"c":{tenants},"d":"{tenants}"}', request));
    assert.deepEqual(filled, { a: `<${text}>`, b: text, c: tenants, d: tenants.join(",") });
  });
  fc.assert(property);
});

test("socket driver: speaks with rimon/custody", async () => {
  const path = join(folder, "custody.sock");
  const custody = await listenForRimon({
    socket: path,
    rotateMasterKey: async () => ({ epoch: 4, previousEpoch: 3 }),
    evictTenantKeks: async ({ tenants }) => {
      if (tenants.includes("org-bad")) throw new Error("the cache is locked");
      return { evicted: tenants.length };
    },
  });
  const driver = { kind: "socket", path, timeoutMs: 20_000 } as const;
  assert.deepEqual((await rotateBy(driver)).details, { epoch: 4, previousEpoch: 3 });
  const evict = createEvictResponder({ ...ON, driver });
  assert.deepEqual((await evict.respond(finding("A", ["a", "b"]))).details, { evicted: 2 });
  assert.match((await evict.respond(finding("B", ["org-bad"]))).message, /refused or failed: the cache is locked/);
  await custody.close();
  assert.match((await rotateBy(driver)).message, /custody.sock: connect ENOENT/);
});

test("socket driver: silence, an early end and noise are failures", async () => {
  for (const [answer, said] of [
    [undefined, /within 100 ms/],
    ["", /got the end/],
    ["\n", /got an empty one/],
    ["noise\n", /got: noise/],
    ["x".repeat(70_000), /at most 65536 bytes/],
  ] as const) {
    const path = join(folder, "other.sock");
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => void (answer === undefined || socket.end(answer)));
    });
    server.listen(path);
    await once(server, "listening");
    const driver = createDriver({ kind: "socket", path, timeoutMs: answer === undefined ? 100 : 20_000 });
    const request = { finding: "F", rule: "r", severity: "high", node: "n", time: "", tenants: [] } as const;
    await assert.rejects(driver.request({ action: "rotate-master-key", ...request }, never), said);
    server.close();
    await once(server, "close");
  }
});

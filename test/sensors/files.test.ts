// The sensor on real files: off, then what is told once, what is told anew, and what it is blind for.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { envelopeBytes, PAYLOAD_TYPE, signEnvelope } from "../../src/baselines/dsse.ts";
import type { FileSettings } from "../../src/configuration.ts";
import { initFiles } from "../../src/files/check.ts";
import { createFiles } from "../../src/sensors/files.ts";
import { newPair } from "../baselines/sealed.ts";
import { IMMUTABLE, tree } from "../files/tree.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { createContext } from "./context.ts";

const HOUR = 3_600_000;

async function prepared(t: TestContext) {
  const { root, file, at } = tree();
  mkdirSync(root);
  writeFileSync(at("tool"), "tool");
  await initFiles({ file, roots: [root], rules: IMMUTABLE });
  let now = Date.now();
  const context = Object.assign(createContext(), { now: () => now });
  t.after(() => context.close());
  const settings: FileSettings = {
    baseline: file,
    publicKeys: [],
    threshold: 1,
    lastGood: join(temporaryDirectory("files-kept"), "baselines", "files.dsse"),
    realtime: false,
    containers: false,
    intervalMs: HOUR,
    fullEveryMs: 24 * HOUR,
    bytesPerSecond: 2 ** 30,
    rules: [],
  };
  const asked: { settings: FileSettings | undefined } = { settings };
  const sensor = createFiles(context, () => asked.settings);
  const passAfter = async (ms: number): Promise<void> => {
    now += ms;
    await sensor.pass?.(false);
    await sensor.settled?.();
  };
  const told = (): string[] =>
    context
      .of("file.changed")
      .map(({ change, path, attributes }) =>
        `${change} ${path.slice(root.length)} ${attributes.map((each) => each.attribute).join()}`.trim(),
      );
  const states = (): string[] => context.of("sensor.state").map(({ state }) => state);
  return { root, file, at, context, settings, asked, sensor, passAfter, told, states };
}

test("off until it is asked for; a difference is told once, and anew when it is another", async (t) => {
  const { at, asked, settings, sensor, passAfter, told, states, context } = await prepared(t);
  asked.settings = undefined;
  await sensor.start();
  assert.deepEqual(states(), ["off"]);
  asked.settings = settings;
  await passAfter(0);
  assert.deepEqual(states(), ["off", "live"]);
  assert.deepEqual(told(), []);
  chmodSync(at("tool"), 0o755);
  writeFileSync(at("new"), "x");
  await passAfter(HOUR - 1);
  assert.deepEqual(told(), []);
  await passAfter(1);
  const first = ["changed /tool mode", "added /new"];
  assert.deepEqual(told(), first);
  await passAfter(HOUR);
  assert.deepEqual(told(), first);
  chmodSync(at("tool"), 0o777);
  await passAfter(HOUR);
  assert.deepEqual(told(), [...first, "changed /tool mode"]);
  // Gone and back again.
  rmSync(at("new"));
  await passAfter(HOUR);
  writeFileSync(at("new"), "x");
  await passAfter(HOUR);
  assert.deepEqual(told(), [...first, "changed /tool mode", "added /new"]);
  const [{ group, rule, mode, sha256 } = assert.fail("nothing was told")] = context.of("file.changed");
  assert.deepEqual([group, rule, mode, sha256?.length], ["immutable", "/", "0755", 64]);
  asked.settings = undefined;
  await passAfter(HOUR);
  assert.equal(states().at(-1), "off");
  await sensor.stop();
});

test("once it has started it is known whether it sees, though the first check goes on", async (t) => {
  const there = await prepared(t);
  await there.sensor.start();
  assert.deepEqual(there.states(), ["live"]);
  await there.sensor.stop();
  const gone = await prepared(t);
  rmSync(gone.file);
  await gone.sensor.start();
  assert.deepEqual(gone.states(), ["degraded"]);
  await gone.sensor.stop();
});

test("a baseline that is gone, tampered with or signed by nobody it knows is a sensor that does not see", async (t) => {
  const { file, root, asked, settings, passAfter, states, context } = await prepared(t);
  const [mine, other] = [newPair(), newPair()];
  const pem = (pair: typeof mine): string => {
    const path = join(root, "..", `${pair.id}.pub`);
    writeFileSync(path, pair.key.export({ type: "spki", format: "pem" }));
    return path;
  };
  const reason = (): string => context.of("sensor.state").at(-1)?.reason ?? "";
  const statement = readFileSync(file);
  writeFileSync(file, envelopeBytes(signEnvelope(PAYLOAD_TYPE, statement, mine.privateKey)));
  asked.settings = { ...settings, publicKeys: [pem(mine)] };
  await passAfter(0);
  assert.deepEqual(states(), ["live"]);
  asked.settings = { ...settings, publicKeys: [pem(other)] };
  await passAfter(HOUR);
  assert.deepEqual(states(), ["live", "degraded"]);
  assert.match(reason(), /a signature of one of the 1 pinned keys was expected/);
  writeFileSync(file, statement);
  asked.settings = settings;
  await passAfter(HOUR);
  assert.equal(states().at(-1), "live");
  const older = JSON.parse(statement.toString()) as { predicate: { counter: number } };
  older.predicate.counter -= 1;
  writeFileSync(file, JSON.stringify(older));
  await passAfter(HOUR);
  assert.match(reason(), /a counter of at least/);
  rmSync(file);
  await passAfter(HOUR);
  assert.match(reason(), /cannot be read: ENOENT/);
  asked.settings = { ...settings, publicKeys: ["/nowhere.pub"] };
  await passAfter(HOUR);
  assert.match(reason(), /files\.publicKeys: \/nowhere\.pub cannot be read: ENOENT/);
  assert.deepEqual(
    context.of("baseline.refused").map(({ of, path, code }) => [of, path, code]),
    ["wrong-key", "rolled-back", "missing"].map((code) => ["files", file, code]),
  );
});

test("a sealed baseline that is older than the last one is refused after a restart, too", async (t) => {
  const { file, root, asked, settings, sensor, passAfter, states, context } = await prepared(t);
  const pair = newPair();
  const key = join(root, "..", "release.pub");
  writeFileSync(key, pair.key.export({ type: "spki", format: "pem" }));
  const statement = JSON.parse(readFileSync(file, "utf8")) as { predicate: { counter: number } };
  const install = (counter: number): void => {
    statement.predicate.counter = counter;
    const bytes = Buffer.from(JSON.stringify(statement));
    writeFileSync(file, envelopeBytes(signEnvelope(PAYLOAD_TYPE, bytes, pair.privateKey)));
  };
  asked.settings = { ...settings, publicKeys: [key] };
  install(8);
  await passAfter(0);
  assert.deepEqual(states(), ["live"]);
  await sensor.stop();
  install(7);
  const again = createFiles(context, () => asked.settings);
  await again.pass?.(false);
  await again.settled?.();
  assert.equal(states().at(-1), "degraded");
  assert.deepEqual(context.of("baseline.refused").map(({ of, code }) => [of, code]), [["files", "rolled-back"]]); // prettier-ignore
  await again.stop();
});

test("so many differences that not each is told are counted, and told as a loss", async (t) => {
  const { at, passAfter, context } = await prepared(t);
  for (let i = 0; i < 1_203; i++) writeFileSync(at(`many${i}`), "");
  await passAfter(0);
  assert.equal(context.of("file.changed").length, 1_000);
  assert.deepEqual(context.of("sensor.lost").map(({ count }) => count), [203]); // prettier-ignore
});

test("a check that runs while it is to stop is stopped", async (t) => {
  const { asked, settings, sensor, states } = await prepared(t);
  asked.settings = { ...settings, bytesPerSecond: 1 };
  await sensor.pass?.(false);
  await sensor.stop();
  assert.ok(!states().includes("degraded"));
});

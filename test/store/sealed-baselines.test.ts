// The sealed baseline of the configuration: which one is used, and why another is not.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { BaselineSettings } from "../../src/configuration.ts";
import { machineOf } from "../../src/machine.ts";
import { openBaseline } from "../../src/store/sealed-baselines.ts";
import { NOW, PREDICATE_TYPE, bytesOf, newPair, sealed, statement, type Pair } from "../baselines/sealed.ts";
import { scratch } from "./scratch.ts";

const DAY_MS = 86_400_000;

function pem({ key }: Pair): string {
  return key.export({ type: "spki", format: "pem" }).toString();
}

function place(t: TestContext, pairs: readonly Pair[] = [newPair()]) {
  const folder = scratch(t);
  const publicKeys = pairs.map((pair, index) => {
    const file = join(folder, `${index}.pub`);
    writeFileSync(file, pem(pair));
    return file;
  });
  const settings: BaselineSettings = {
    file: join(folder, "baseline.dsse"),
    publicKeys,
    threshold: pairs.length,
    ifRefused: "last-good",
    lastGood: join(folder, "state", "baselines", "test.dsse"),
  };
  const envelope = (counter: number, by = pairs, header: object = {}): Buffer =>
    sealed(bytesOf(statement({}, { counter, machine: machineOf(), ...header })), by);
  return {
    settings,
    folder,
    install: (counter: number, by = pairs, header: object = {}) => writeFileSync(settings.file, envelope(counter, by, header)), // prettier-ignore
    /** "7 rolled-back": the counter of what is used, and why not the file. */
    async used(overrides: Partial<BaselineSettings> = {}, now = NOW): Promise<string> {
      const { opened, refused, notKept } = await openBaseline({ ...settings, ...overrides }, PREDICATE_TYPE, now);
      return [opened?.header.counter ?? "none", refused?.code, notKept].filter((each) => each !== undefined).join(" ");
    },
  };
}

test("one that is good is used, and its copy is what is fallen back on", async (t) => {
  const { settings, install, used } = place(t);
  assert.equal(await used(), "none missing");
  assert.ok(!existsSync(settings.lastGood));
  install(7);
  assert.equal(await used(), "7");
  assert.deepEqual(readFileSync(settings.lastGood), readFileSync(settings.file));
  install(8);
  assert.equal(await used(), "8");

  rmSync(settings.file);
  assert.equal(await used(), "8 missing");
  assert.equal(await used({ ifRefused: "none" }), "none missing");
  writeFileSync(settings.file, "");
  assert.equal(await used(), "8 empty");
  writeFileSync(settings.file, readFileSync(settings.lastGood).subarray(0, 100));
  assert.equal(await used(), "8 not-an-envelope");
  rmSync(settings.file);
  mkdirSync(settings.file);
  assert.equal(await used(), "8 unreadable");
});

test("an older one is refused, also after a restart and after the one in force has expired", async (t) => {
  const { install, used } = place(t);
  install(7);
  assert.equal(await used(), "7");
  install(6);
  assert.equal(await used(), "7 rolled-back");
  assert.equal(await used({}, NOW + 365 * DAY_MS), "none expired");
  install(6, undefined, { expires: "2030-01-01T00:00:00Z" });
  assert.equal(await used({}, NOW + 365 * DAY_MS), "none rolled-back");
  install(8, undefined, { expires: "2030-01-01T00:00:00Z" });
  assert.equal(await used({}, NOW + 365 * DAY_MS), "8");
});

test("by other keys, by too few, and for another machine", async (t) => {
  const pairs = [newPair(), newPair()];
  const { install, used } = place(t, pairs);
  install(7);
  assert.equal(await used(), "7");
  install(8, pairs.slice(0, 1));
  assert.equal(await used(), "7 below-threshold");
  install(8, [newPair()]);
  assert.equal(await used(), "7 wrong-key");
  install(8, pairs, { machine: { ...machineOf(), id: "cd".repeat(32) } });
  assert.equal(await used(), "7 other-machine");
});

test("keys that are not there, or are none", async (t) => {
  const { settings, folder, install } = place(t);
  install(7);
  for (const [publicKeys, says] of [
    [[join(folder, "nowhere.pub")], /nowhere\.pub cannot be read: .*ENOENT/],
    [[settings.file], /baseline\.dsse: /],
  ] as const) {
    const { opened, refused } = await openBaseline({ ...settings, publicKeys }, PREDICATE_TYPE, NOW);
    assert.equal(opened, undefined);
    assert.equal(refused?.code, "no-key");
    assert.match(refused.message, says);
  }
});

test("a copy that cannot be kept is told, and the baseline used", async (t) => {
  const { folder, install, used } = place(t);
  install(7);
  writeFileSync(join(folder, "state"), "in the way");
  assert.match(await used(), /^7 .*test\.dsse cannot be written: /);
});

test("a copy that somebody has written to is not believed", async (t) => {
  const { settings, install, used } = place(t);
  install(7);
  assert.equal(await used(), "7");
  const copy = readFileSync(settings.lastGood);
  copy[copy.length >> 1] = copy[copy.length >> 1]! ^ 1;
  writeFileSync(settings.lastGood, copy);
  rmSync(settings.file);
  assert.equal(await used(), "none missing");
});

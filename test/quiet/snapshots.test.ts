// Isolation structures of programs at work, over an hour of checks in half a minute: nothing is told that somebody would have
// to get up for. day.ts does the same for a day.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startBusyPrograms, type BusyPrograms } from "./busy.ts";
import { runChecks } from "./checks.ts";

/** More than an hour of them: code, which is looked at once in it, is looked at twice. */
const CHECKS = 125;
const EVERY_MS = 200;

let busy: BusyPrograms;
before(async () => {
  busy = await startBusyPrograms();
});
after(() => busy.stop());

test("databases, a server that compiles, a shell that forks, a program that loads libraries and lets them go", async () => {
  for (const name of ["redis", "node", "shell"])
    assert.ok(
      busy.programs.some((each) => each.name === name),
      name,
    );
  const { told, troubles, looks, processes } = await runChecks(busy, { count: CHECKS, everyMs: EVERY_MS });
  assert.deepEqual(told, []);
  assert.deepEqual(troubles, []);
  assert.ok(processes >= busy.programs.length);
  assert.ok(looks > CHECKS, `${looks}`);
});

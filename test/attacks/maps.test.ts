// Code that appears in a process after it has settled.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { compile } from "../fixtures/compile.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { DEADLINE_MS, expectFinding, findingsAbout, identityOf } from "./expected.ts";

const NAME = "maps-victim";
/** Until then new code belongs to the start; one pass more, so that rimon has a view to compare with. */
const SETTLED_MS = 4_500;
let rimon: Monitor;
let targets: Target[];

before(async () => {
  targets = await Promise.all(Array.from({ length: 5 }, () => spawnTarget({ name: NAME })));
  rimon = startRimon({ args: ["--protect", `comm:${NAME}`] });
  await rimon.ready;
  await sleep(SETTLED_MS);
  for (const { pid } of targets) assert.deepEqual(findingsAbout(rimon, pid), []);
});
after(async () => {
  for (const target of targets) await target.stop();
  await rimon.stop();
});

const CASES: readonly { readonly command: () => string; readonly technique: string; readonly says: RegExp }[] = [
  { command: () => "mprotect", technique: "writable-code", says: /is writable and executable \(rwxp\)/ },
  { command: () => "mprotect rx", technique: "anonymous-code", says: /anonymous memory .* \(r-xp\)/ },
  { command: () => `map ${compile("evil", { shared: true })}`, technique: "late-library", says: /evil\.so \(r-xp\)/ },
];

for (const [index, { command, technique, says }] of CASES.entries()) {
  test(`${command().split("/")[0]}: ${technique}`, async () => {
    const target = targets[index]!;
    await target.command(command());
    const { message } = await expectFinding(rimon, {
      rule: "maps-changed",
      severity: "medium",
      technique,
      operation: "map",
      suspect: undefined,
      target: identityOf(target.pid),
    });
    assert.match(message, says);
  });
}

test("new code in a process that has just become another is its start", async () => {
  const target = targets[3]!;
  await target.exec();
  await target.command("mprotect rx");
  await sleep(1_500); // One pass at least must see it.
  const last = targets[4]!;
  await last.command("mprotect");
  await rimon.waitForFinding("maps-changed", DEADLINE_MS, (f) => f.target?.pid === last.pid);
  assert.deepEqual(findingsAbout(rimon, target.pid), []);
});

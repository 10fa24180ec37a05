// What cannot be judged, by `unanswered: deny`: that refuses what the gate is there for, and nothing else.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { GATE_MODE } from "../../src/native.ts";
import { EVIL, huge, knowing, mountOf, openGate, run, scene, tmpfs } from "../fixtures/gate.ts";
import { lineOf, start, until } from "./child.ts";

const REFUSED = 126;
/** More than there are slots (GATE_SLOTS). */
const WAITING = 260;

test("where nothing more can wait, only what is to be enforced is refused, and never what rimon starts", async (t) => {
  const { folder, good, evil, known } = scene(t);
  const audited = tmpfs(t);
  copyFileSync(evil, join(audited, "evil"));
  const table = { ...knowing(known), deadlineMs: 60_000, maxBytes: 2 ** 40, unanswered: "deny" } as const;
  const { gate } = openGate(t, folder, table);
  gate.mark(0, audited, mountOf(audited), GATE_MODE.audit, false);
  const script = `i=0; while [ $i -lt ${WAITING} ]; do "$0" 2>/dev/null & i=$((i+1)); done; wait; echo over`;
  const crowd = start(t, "sh", ["-c", script, huge(good, folder, "huge")]);
  await until("every slot to be taken", () => (gate.status().events >= WAITING ? true : undefined));
  const { spared, unanswered } = gate.status();
  assert.ok(unanswered > 0);
  assert.equal(run(good), REFUSED);
  assert.equal(run(join(audited, "evil")), EVIL);
  execFileSync(good);
  assert.deepEqual([gate.status().unanswered, gate.status().spared], [unanswered + 2, spared + 1]);
  gate.close();
  assert.equal(await lineOf(crowd), "over");
});

test("where openings are looked at, what is too large to be read is refused only if it is a program", (t) => {
  const { folder, good, known } = scene(t);
  const table = { ...knowing(known), maxBytes: 2 ** 20, unanswered: "deny" } as const;
  const { gate } = openGate(t, folder, table, GATE_MODE.enforce, true);
  const [data, program] = [join(folder, "data"), join(folder, "program")];
  writeFileSync(data, "data");
  copyFileSync(good, program);
  for (const file of [data, program]) truncateSync(file, 2 ** 21);
  assert.equal(run("cat", data), 0);
  assert.equal(gate.status().unanswered, 0);
  assert.notEqual(run("cat", program), 0);
  assert.equal(gate.status().unanswered, 1);
});

// A flow of events that never ends: what is late is answered all the same, and whatever else the leader is there for is done.

import assert from "node:assert/strict";
import { copyFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compile } from "../fixtures/compile.ts";
import { huge, knowing, openGate, scene, tmpfs } from "../fixtures/gate.ts";
import { lineOf, start, until } from "./child.ts";

/** So many that one of them always waits when another was answered. */
const FLOWING = "64";
const ANSWERED_MS = 10_000;

test("what is late is answered, and new mounts are told, though there is always another event to be read", async (t) => {
  const { folder, good, known } = scene(t);
  // In memory, and as large as what the leader reads itself: meanwhile the next one comes.
  const small = join(folder, "small");
  copyFileSync("/bin/true", small);
  truncateSync(small, 2 ** 18);
  const { gate, records } = openGate(t, folder, { ...knowing(known), deadlineMs: 500, maxBytes: 2 ** 40 });
  const flow = start(t, compile("gate-flow"), [FLOWING, small]);
  assert.equal(await lineOf(flow), "flows");
  const late = start(t, "sh", ["-c", '"$0"; echo $?', huge(good, folder, "huge")]);
  await until("it to be read", () => (gate.status().busy === 1 ? true : undefined));
  let line: string | undefined;
  void lineOf(late).then((each) => (line = each));
  // Each flow has a gap at some time.
  assert.equal(await until("it to be answered", () => line, ANSWERED_MS), "0");
  const before = records.length;
  tmpfs(t);
  await until("the new mount to be told", () => records.slice(before).find(({ kind }) => kind === "mounts"));
  const { denied } = gate.status();
  await until("the flow to go on", () => (gate.status().denied > denied ? true : undefined));
  assert.equal(gate.status().stoodIn, 0);
});

// rimon killed again and again while it is at work: what it acknowledged is in the log, what it queued arrives.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Outcome, Verdict } from "../../src/finding.ts";
import { readAuditLog, verifyAuditLog } from "../../src/store/audit-verify.ts";
import { startRimon, type MonitorRecord } from "../fixtures/monitor.ts";
import { startReceiver, type Receiver } from "../fixtures/receiver.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { attachAlerted, attachOnce, DEADLINE_MS } from "./attach.ts";

const KILLS = 20;
const ATTACKERS = 2;

let target: Target;
let receiver: Receiver;

before(async () => {
  target = await spawnTarget();
  receiver = await startReceiver();
});

after(async () => {
  await target?.stop();
  await receiver?.close();
});

const keyOf = ({ finding, action }: Outcome): string => `${finding} ${action}`;

test(`kill -9, ${KILLS} times, while attacks run`, async (t) => {
  const stateDirectory = temporaryDirectory("state");
  const log = join(stateDirectory, "audit.ndjson");
  const config = `
protect: ["pid:${target.pid}"]
alerts: { clusterAdmins: [{ webhook: { url: "${receiver.url}" } }] }
audit: { rotateSize: 256KiB, checkpointEvery: 16 }
`;
  const start = () => {
    const rimon = startRimon({ stateDirectory, config });
    t.after(() => rimon.kill9());
    return rimon;
  };
  let attacking = true;
  const attackers = Array.from({ length: ATTACKERS }, async () => {
    // A thread has one tracer at a time: an attacker that came second fails, and that is fine.
    while (attacking) await attachOnce(target).catch(() => sleep(10));
  });

  const queued = new Set<string>();
  let acknowledged = 0;
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const rimon = start();
      await rimon.ready;
      await rimon.waitFor(({ type }) => type === "outcome", DEADLINE_MS, "an outcome");
      await sleep(randomInt(150));
      await rimon.kill9();
      const said = rimon.records;
      const verification = await verifyAuditLog(log);
      assert.ok(verification.ok, `after kill ${kill + 1}: ${JSON.stringify(verification)}`);
      acknowledged += await assertLogged(log, said);
      for (const record of said)
        if (record.type === "outcome" && record["action"] === "alert" && record["result"] === "done")
          queued.add(String(record["finding"]));
    }
  } finally {
    attacking = false;
    await Promise.all(attackers);
  }
  assert.ok(acknowledged > KILLS);
  assert.ok(queued.size > 0);

  const rimon = start();
  await rimon.ready;
  const { finding } = await attachAlerted(rimon, target);
  await receiver.waitFor(({ body }) => body.includes(finding.id), DEADLINE_MS, "the last alert");
  assert.equal(await rimon.stop(), 0);
  const arrived = new Set(receiver.received.map(({ body }) => (JSON.parse(body) as { readonly id: string }).id));
  const missing = [...queued].filter((id) => !arrived.has(id));
  assert.deepEqual(missing, [], `of ${queued.size} alerts queued`);
  const verification = await verifyAuditLog(log);
  assert.ok(verification.ok, JSON.stringify(verification));
  assert.ok(verification.files > 1, "the log was rotated on the way");

  // Also what was judged, and not yet told when rimon was killed, is told by the run after it.
  const untold: string[] = [];
  for await (const { body } of readAuditLog(log, { types: ["verdict"] })) {
    const { finding, actions } = body as unknown as Verdict;
    if (actions.some(({ action, allowed }) => action === "alert" && allowed) && !arrived.has(finding.id))
      untold.push(finding.id);
  }
  assert.deepEqual(untold, []);
});

/** Every verdict and outcome that was said is in the log; how many there were. */
async function assertLogged(log: string, said: readonly MonitorRecord[]): Promise<number> {
  const verdicts = new Set<string>();
  const outcomes = new Set<string>();
  for await (const { type, body } of readAuditLog(log)) {
    if (type === "verdict") verdicts.add((body as unknown as Verdict).finding.id);
    if (type === "outcome") outcomes.add(keyOf(body as unknown as Outcome));
  }
  let checked = 0;
  for (const record of said) {
    if (record.type === "verdict") assert.ok(verdicts.has((record as Verdict).finding.id), JSON.stringify(record));
    else if (record.type === "outcome") assert.ok(outcomes.has(keyOf(record as Outcome)), JSON.stringify(record));
    else continue;
    checked++;
  }
  return checked;
}

// The answers to verdicts across a reload, with a real audit log, spool and keeper of keys.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { openAnswering } from "../src/answering.ts";
import type { Configuration } from "../src/configuration.ts";
import { listenForRimon } from "../src/custody.ts";
import type { Outcome } from "../src/finding.ts";
import { requireAddon } from "../src/native.ts";
import { State } from "../src/state.ts";
import { openAuditLog } from "../src/store/audit-log.ts";
import { until, verdictOf } from "./responders/verdicts.ts";

test("a reload during a storm rotates and evicts no second time", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rimon-answering-"));
  t.after(() => rmSync(folder, { recursive: true }));
  let rotations = 0;
  let evictions = 0;
  const custody = await listenForRimon({
    socket: join(folder, "custody.sock"),
    rotateMasterKey: async () => ({ epoch: ++rotations }),
    evictTenantKeks: async ({ tenants }) => {
      evictions++;
      return { evicted: tenants.length };
    },
  });
  t.after(() => custody.close());
  const keyAction = {
    enabled: true,
    cooldownMs: 3_600_000,
    driver: { kind: "socket", path: custody.socket, timeoutMs: 20_000 },
  } as const;
  const configuration: Configuration = {
    environment: "production",
    mode: "monitor",
    intervalMs: 1_000,
    node: "node-7",
    protect: [],
    rules: {},
    respond: {},
    exceptions: [],
    alerts: {
      clusterAdmins: [],
      minimumSeverity: "medium",
      groupMs: 60_000,
      spool: { directory: join(folder, "spool"), maxAlerts: 10 },
    },
    tenants: [{ id: "org-pharma", processes: [], admins: [] }],
    actions: {
      "rotate-master-key": keyAction,
      "evict-tenant-keks": keyAction,
      "kill-suspect": { enabled: false, scope: [] },
      capture: { enabled: false, directory: join(folder, "captures"), keep: 1 },
    },
    audit: {
      path: join(folder, "audit.ndjson"),
      keyFile: join(folder, "audit.key"),
      rotateBytes: 1024 * 1024,
      checkpointEvery: 256,
    },
    enforce: [],
  };
  const troubles: string[] = [];
  const outcomes: Outcome[] = [];
  const audit = await openAuditLog({
    ...configuration.audit,
    now: Date.now,
    onTrouble: (message) => troubles.push(message),
  });
  const answering = await openAnswering({
    configuration,
    addon: requireAddon().addon,
    audit,
    state: new State(() => undefined),
    stdout: new PassThrough(),
    now: Date.now,
    trouble: (_part, message) => troubles.push(message),
    onVerdict: () => {},
    onOutcome: (outcome) => outcomes.push(outcome),
  });
  const actions = (["rotate-master-key", "evict-tenant-keks"] as const).map((action) => ({
    action,
    allowed: true,
    reason: "the test wants it",
  }));
  const storm = (round: string): void => {
    for (let n = 0; n < 20; n++) answering.answer(verdictOf({ id: `${round}${n}` }, actions));
  };

  storm("before");
  await until(() => rotations === 1 && evictions === 1);
  storm("during");
  await answering.reload(configuration);
  storm("after");
  await until(() => outcomes.length === 3 * 20 * 2);
  assert.deepEqual([rotations, evictions], [1, 1]);
  for (const { finding, result, message } of outcomes.filter(({ finding }) => finding.startsWith("after"))) {
    assert.equal(result, "skipped", finding);
    assert.match(message, /^finding before0 .*; possible again at /);
  }
  await answering.close();
  await audit.close();
  assert.deepEqual(troubles, []);
});

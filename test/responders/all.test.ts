// The responders as the spine gets them, before a real spool, real receivers and a real keeper of keys.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, test } from "node:test";
import type { Driver } from "../../src/configuration.ts";
import { listenForRimon } from "../../src/custody.ts";
import { createResponders } from "../../src/responders/all.ts";
import { openSpool } from "../../src/store/spool.ts";
import { until, verdictOf } from "./verdicts.ts";

const folder = mkdtempSync(join(tmpdir(), "rimon-responders-"));
after(() => rmSync(folder, { recursive: true }));

test("a verdict is answered by all of them; an alert waits for a receiver that is down", async () => {
  const got: string[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      got.push(body);
      response.end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");

  const troubles: string[] = [];
  const spool = await openSpool({
    directory: join(folder, "spool"),
    maxAlerts: 10,
    now: Date.now,
    onTrouble: (message) => troubles.push(message),
  });
  const custody = await listenForRimon({
    socket: join(folder, "custody.sock"),
    rotateMasterKey: async () => ({ epoch: 8, previousEpoch: 7 }),
    evictTenantKeks: async ({ tenants }) => ({ evicted: tenants.length }),
  });
  const driver: Driver = { kind: "socket", path: custody.socket, timeoutMs: 20_000 };
  const file = join(folder, "pharma.ndjson");
  const stdout = new PassThrough();
  const responders = createResponders({
    configuration: {
      alerts: {
        clusterAdmins: [
          { kind: "webhook", method: "POST", url: `http://127.0.0.1:${port}/`, timeoutMs: 5_000 },
          { kind: "stdout" },
        ],
        minimumSeverity: "info",
        groupMs: 1000,
        spool: { directory: folder, maxAlerts: 10 },
      },
      tenants: [{ id: "org-pharma", processes: [], admins: [{ kind: "file", path: file }] }],
      actions: {
        "rotate-master-key": { enabled: true, driver, cooldownMs: 1000 },
        "evict-tenant-keks": { enabled: true, driver, cooldownMs: 1000 },
        "kill-suspect": { enabled: true, scope: [] },
        capture: { enabled: true, directory: join(folder, "captures"), keep: 3 },
      },
    },
    addon: {
      signalProcess() {
        throw new Error("nothing is in scope");
      },
    },
    openOutbox: ({ name, key }, deliver) => spool.outbox(name, deliver, { key, minRetryMs: 10, maxRetryMs: 10 }),
    stdout,
    isProtected: () => false,
    inScope: () => false,
  });

  // No process has such a pid.
  const verdict = verdictOf({ suspect: { pid: 5_000_000, startTime: 1, comm: "gdb" } });
  const outcomes = [];
  for (const responder of responders) outcomes.push(await responder.respond(verdict));
  assert.deepEqual(
    outcomes.map(({ action, result }) => `${action} ${result}`),
    ["alert done", "capture skipped", "rotate-master-key done", "evict-tenant-keks done", "kill-suspect refused"],
  );
  assert.equal(outcomes[0]?.message, "cluster: 2 sinks, org-pharma: 1 sink queued");

  const [line] = (await once(stdout, "data")) as [Buffer];
  assert.equal((JSON.parse(String(line)) as { audience: { kind: string } }).audience.kind, "cluster");
  await until(() => readdirSync(folder).includes("pharma.ndjson") && readFileSync(file, "utf8").endsWith("\n"));
  assert.match(readFileSync(file, "utf8"), /"audience":\{"kind":"tenant","tenant":"org-pharma"\}/);
  await until(() => troubles.some((message) => message.includes("ECONNREFUSED")));
  server.listen(port, "127.0.0.1");
  await until(() => got.length === 1);
  assert.equal(got[0], String(line).trim());

  for (const responder of responders) await responder.close?.(1000);
  await spool.close(1000);
  await custody.close();
  server.close();
});

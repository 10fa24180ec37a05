// The whole way, with the real things: a storage node under load, gdb on it, and everything that has to follow.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Outcome } from "../../src/finding.ts";
import { Child } from "../fixtures/child.ts";
import { readAudit, verifyAudit } from "../fixtures/command.ts";
import { startLoad, type Load } from "../fixtures/load.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { startReceiver, startSyslogReceiver, type Receiver, type SyslogReceiver } from "../fixtures/receiver.ts";
import { startKms, startStorageNode, type Kms, type StorageNode } from "../fixtures/storage.ts";

const DEADLINE_MS = 60_000;
const TENANTS = ["org-pharma", "org-bio"] as const;
const ENVIRONMENT_VALUE = `end-to-end-${randomBytes(16).toString("hex")}`;

interface AlertShown {
  readonly id: string;
  readonly rule: string;
  readonly severity: string;
  readonly summary: string;
  readonly tenants: readonly string[];
  readonly suspect: { readonly pid: number; readonly comm: string };
  readonly target: { readonly pid: number };
}

describe("gdb on a storage node under load", () => {
  let kms: Kms;
  let node: StorageNode;
  let load: Load;
  let cluster: Receiver;
  let falcosidekick: Receiver;
  let syslog: SyslogReceiver;
  let admins: ReadonlyMap<string, Receiver>;
  let rimon: Monitor;
  let gdbPid: number;
  let findingId: string;
  let epochBefore: number;
  let fetchesBefore: Readonly<Record<string, number>>;

  before(async () => {
    process.env["STORAGE_NODE_SECRET"] = ENVIRONMENT_VALUE;
    kms = await startKms();
    [node, cluster, falcosidekick, syslog] = await Promise.all([
      startStorageNode({ kms: kms.url }),
      startReceiver(),
      startReceiver(),
      startSyslogReceiver("tcp"),
    ]);
    admins = new Map(await Promise.all(TENANTS.map(async (tenant) => [tenant, await startReceiver()] as const)));
    const tenants = TENANTS.map(
      (tenant) => `
  - id: ${tenant}
    processes: ["pid:${node.pid}"]
    admins: [{ webhook: { url: "${admins.get(tenant)?.url}" } }]`,
    ).join("");
    rimon = startRimon({
      config: `
node: node-7
protect: ["pid:${node.pid}"]
respond:
  critical: [capture, rotate-master-key, evict-tenant-keks]
alerts:
  clusterAdmins:
    - webhook: { url: "${cluster.url}" }
    - falcosidekick: { url: "${falcosidekick.url}" }
    - syslog: { address: "tcp://127.0.0.1:${syslog.port}" }
tenants:${tenants}
actions:
  rotate-master-key: { socket: "${node.custody}" }
  evict-tenant-keks: { socket: "${node.custody}" }
`,
    });
    await rimon.ready;
    load = startLoad({ url: node.url, tenants: TENANTS });
    await load.more(100);
    ({ epoch: epochBefore, kekFetches: fetchesBefore } = await kms.stats());

    const gdb = new Child(
      "gdb",
      ["-nx", "-batch", "-p", String(node.pid), "-ex", "x/8xg $sp", "-ex", "shell sleep 1", "-ex", "detach"],
      { lastSignal: "SIGTERM" },
    );
    gdbPid = gdb.pid;
    const { code } = await gdb.exited;
    assert.equal(code, 0, gdb.stderr);
    assert.match(gdb.lines.items.join("\n"), /detached/);
    const finding = await rimon.waitForFinding("ptrace-attach", DEADLINE_MS, ({ suspect }) => suspect?.pid === gdbPid);
    findingId = finding.id;
    await rimon.waitFor(isOutcome("evict-tenant-keks"), DEADLINE_MS, "the outcome of the eviction");
    await load.more(100);
  });

  after(async () => {
    delete process.env["STORAGE_NODE_SECRET"];
    await load?.stop();
    await rimon?.stop();
    await node?.stop();
    await kms?.stop();
    const receivers = [cluster, falcosidekick, syslog, ...(admins?.values() ?? [])];
    await Promise.all(receivers.map((receiver) => receiver?.close()));
  });

  const isOutcome =
    (action: string) =>
    (record: { readonly type: string }): record is Outcome =>
      record.type === "outcome" && (record as Outcome).finding === findingId && (record as Outcome).action === action;

  const outcomeOf = (action: string): Promise<Outcome> =>
    rimon.waitFor(isOutcome(action), DEADLINE_MS, `the outcome of ${action}`);

  test("the finding names gdb, the node and both tenants", async () => {
    const finding = await rimon.waitForFinding("ptrace-attach", DEADLINE_MS, ({ id }) => id === findingId);
    assert.equal(finding.severity, "critical");
    assert.equal(finding.suspect?.comm, "gdb");
    assert.equal(finding.target?.pid, node.pid);
    assert.deepEqual([...finding.tenants].sort(), [...TENANTS].sort());
    assert.ok(finding.suspect?.ancestry?.some(({ pid }) => pid === process.pid));
  });

  test("the cluster's webhook is told", async () => {
    const { body } = await cluster.waitFor(({ body }) => body.includes(findingId), DEADLINE_MS, "the cluster's alert");
    const alert = JSON.parse(body) as AlertShown;
    assert.equal(alert.rule, "ptrace-attach");
    assert.equal(alert.suspect.pid, gdbPid);
    assert.deepEqual([...alert.tenants].sort(), [...TENANTS].sort());
  });

  for (const tenant of TENANTS) {
    test(`the admins of ${tenant} are told, of nobody else's keys`, async () => {
      const receiver = admins.get(tenant);
      assert.ok(receiver);
      const { body } = await receiver.waitFor(({ body }) => body.includes(findingId), DEADLINE_MS, "a tenant's alert");
      const alert = JSON.parse(body) as AlertShown;
      assert.equal(alert.severity, "critical");
      assert.deepEqual(alert.tenants, [tenant]);
      assert.equal(alert.target.pid, node.pid);
      for (const other of TENANTS.filter((each) => each !== tenant))
        for (const { body } of receiver.received) assert.ok(!body.includes(other), body);
    });
  }

  test("falcosidekick is told in its own format", async () => {
    const { body } = await falcosidekick.waitFor(({ body }) => body.includes(findingId), DEADLINE_MS, "Falco's event");
    const event = JSON.parse(body) as { readonly rule: string; readonly priority: string; readonly output: string };
    assert.match(event.rule, /ptrace-attach/);
    assert.match(event.priority, /critical/i);
    assert.match(event.output, /gdb/);
  });

  test("syslog is told", async () => {
    const { text } = await syslog.waitFor(({ text }) => text.includes(findingId), DEADLINE_MS, "a syslog message");
    assert.match(text, /^<\d+>1 .* rimon .*ptrace-attach/);
  });

  test("the master key's epoch moved on and the keys are fetched anew", async () => {
    const rotated = await outcomeOf("rotate-master-key");
    assert.equal(rotated.result, "done", rotated.message);
    assert.equal(rotated.details?.["previousEpoch"], epochBefore);
    assert.equal(rotated.details?.["epoch"], epochBefore + 1);
    const evicted = await outcomeOf("evict-tenant-keks");
    assert.equal(evicted.result, "done", evicted.message);
    assert.equal(evicted.details?.["evicted"], TENANTS.length);

    assert.equal((await node.status()).epoch, epochBefore + 1);
    const { epoch, kekFetches } = await kms.stats();
    assert.equal(epoch, epochBefore + 1);
    for (const tenant of TENANTS) {
      const fetchedBefore = fetchesBefore[tenant] ?? 0;
      assert.ok((kekFetches[tenant] ?? 0) > fetchedBefore, `${tenant}: ${kekFetches[tenant]} after ${fetchedBefore}`);
    }
  });

  test("the capture holds both processes and no environment value", async () => {
    const captured = await outcomeOf("capture");
    assert.equal(captured.result, "done", captured.message);
    const path = String(captured.details?.["path"]);
    assert.ok(statSync(path).isDirectory());
    const names = filesBelow(path);
    for (const expected of ["finding.json", "capture.json", "target/maps", "target/exe.json", "suspect/cmdline.json"])
      assert.ok(names.includes(join(path, expected)), `${expected} is missing among ${names.join(", ")}`);
  });

  test("nothing that rimon wrote, sent or said holds an environment value", () => {
    assert.ok(readFileSync(`/proc/${node.pid}/environ`, "latin1").includes(ENVIRONMENT_VALUE));
    for (const file of filesBelow(rimon.stateDirectory))
      assert.ok(!readFileSync(file, "latin1").includes(ENVIRONMENT_VALUE), file);
    assert.ok(!JSON.stringify(rimon.records).includes(ENVIRONMENT_VALUE));
    const bodies = [cluster, falcosidekick, ...admins.values()].flatMap(({ received }) => received.map((r) => r.body));
    for (const said of [...bodies, ...syslog.received.map(({ text }) => text), rimon.stderr])
      assert.ok(!said.includes(ENVIRONMENT_VALUE), said);
  });

  test("not one request failed, and the node runs on", async () => {
    const { requests, failures, firstFailure } = await load.stop();
    assert.ok(requests >= 200);
    assert.equal(failures, 0, firstFailure);
    assert.equal((await node.status()).failures, 0, node.stderr);
  });

  test("the audit log says it all in order, and verifies", async () => {
    const said = await Promise.all(
      ["alert", "capture", "rotate-master-key", "evict-tenant-keks"].map((action) => outcomeOf(action)),
    );
    assert.equal(await rimon.stop(), 0);
    assert.deepEqual(rimon.strayLines, []);
    const verification = await verifyAudit(rimon.stateDirectory);
    assert.equal(verification.code, 0, JSON.stringify(verification));
    assert.equal(verification.ok, true);

    const records = await readAudit(rimon.stateDirectory);
    const verdict = records.find(
      ({ type, body }) => type === "verdict" && (body["finding"] as { readonly id: string }).id === findingId,
    );
    assert.ok(verdict);
    for (const outcome of said) {
      const logged = records.find(
        ({ type, body }) => type === "outcome" && body["finding"] === findingId && body["action"] === outcome.action,
      );
      assert.deepEqual(logged?.body, outcome);
      assert.ok(logged.seq > verdict.seq);
    }
  });
});

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

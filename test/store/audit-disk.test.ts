// Needs root: each test mounts a small tmpfs of its own.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readAuditLog, verifyAuditLog } from "../../src/store/audit-verify.ts";
import { fill } from "./full-disk.ts";
import { openLog, smallDisk, until } from "./scratch.ts";

async function fullDisk(directory: string, rotateBytes: number): Promise<void> {
  const { log, path, troubles } = await openLog(directory, { retryMs: 20, queueLimit: 50, rotateBytes });
  const padding = "d".repeat(500);
  const filler = fill(directory);
  const sent: { n: number; durable: boolean }[] = [];
  const send = async (n: number) => sent.push({ n, durable: (await log.append("finding", { n, padding })).durable });
  for (let n = 0; n < 20; n += 1) await send(n);
  assert.equal(troubles.length, 1, JSON.stringify(troubles));
  assert.match(troubles[0]?.message ?? "", /ENOSPC.*records wait in memory/);
  assert.equal(sent.at(-1)?.durable, false);
  const meanwhile = await verifyAuditLog(path);
  assert.ok(meanwhile.ok, JSON.stringify(meanwhile));
  assert.ok((meanwhile.lastSeq ?? 0) < 20);
  for (let n = 20; n < 90; n += 1) await send(n);
  assert.match(troubles[1]?.message ?? "", /queue of 50 records is full/);
  const { lost, waiting } = log.stats();
  assert.equal(waiting, 50);
  rmSync(filler);
  await until("the log recovered", () => troubles.at(-1)?.recovered === true);
  assert.equal(log.stats().waiting, 0);
  assert.equal((await log.append("finding", { n: 1000 })).durable, true);
  await log.close();
  const report = await verifyAuditLog(path, { publicKeyFile: join(directory, "audit.key.pub") });
  assert.ok(report.ok, JSON.stringify(report));
  assert.equal(report.torn, undefined);
  const seen: unknown[] = [];
  const types: string[] = [];
  for await (const { type, body } of readAuditLog(path)) {
    if (type === "finding") seen.push(body["n"]);
    if (type === "lost") assert.deepEqual(body, { count: lost });
    if (type !== "finding" && type !== "checkpoint" && type !== "rotate") types.push(type);
  }
  assert.deepEqual(types, ["start", "lost", "recovered", "stop"]);
  assert.deepEqual(seen, [...Array.from({ length: 90 - lost }, (_, n) => n), 1000]);
}

test("a full disk: records wait, are written in order when there is room, the lost ones are counted", async (t) => {
  await fullDisk(smallDisk(t, 256), 1024 * 1024);
});

test("a full disk while files are rotated", async (t) => {
  await fullDisk(smallDisk(t, 256), 4000);
});

test("a log starts on a full disk and on a read-only one, and writes its start when it can", async (t) => {
  const directory = smallDisk(t, 256);
  await (await openLog(directory)).log.close();
  const filler = fill(directory);
  // The last page of the log itself may have room left for a start and more.
  const { log, path, troubles } = await openLog(directory, { retryMs: 20 });
  const padding = "e".repeat(5000);
  assert.equal((await log.append("finding", { padding })).durable, false);
  assert.equal(troubles[0]?.recovered, false);
  rmSync(filler);
  await until("the log recovered", () => troubles.at(-1)?.recovered === true);
  await log.close();

  execFileSync("mount", ["-o", "remount,ro", directory], { timeout: 10_000 });
  const second = await openLog(directory, { retryMs: 20 });
  assert.match(second.troubles[0]?.message ?? "", /EROFS/);
  assert.equal((await second.log.append("finding", { n: 2 })).durable, false);
  execFileSync("mount", ["-o", "remount,rw", directory], { timeout: 10_000 });
  await until("the log recovered", () => second.troubles.at(-1)?.recovered === true);
  await assert.rejects(openLog(directory), { code: "RIMON_AUDIT", message: /this very process/ });
  await second.log.close();
  const report = await verifyAuditLog(path);
  assert.ok(report.ok, JSON.stringify(report));
});

test("a log closed on a full disk says what it could not write, and can be gone on with", async (t) => {
  const directory = smallDisk(t, 256);
  const { log, path, troubles } = await openLog(directory);
  const filler = fill(directory);
  for (let n = 0; n < 20; n += 1) await log.append("finding", { n, padding: "f".repeat(500) });
  await log.close();
  assert.match(troubles.at(-1)?.message ?? "", /ends with \d+ records unwritten: ENOSPC/);
  assert.ok((await verifyAuditLog(path)).ok);
  rmSync(filler);
  const second = await openLog(directory);
  await second.log.close();
  assert.deepEqual(second.troubles, []);
  assert.ok((await verifyAuditLog(path)).ok);
});

test("a name that cannot be rotated to lets the file grow, and is told", async (t) => {
  const directory = smallDisk(t, 256);
  const { log, path, troubles } = await openLog(directory, { rotateBytes: 1500, retryMs: 20 });
  // A mount point can be neither renamed nor replaced.
  const planted = `${path}.000000000001`;
  mkdirSync(planted);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4k", "tmpfs", planted], { timeout: 10_000 });
  try {
    for (let n = 0; n < 20; n += 1) {
      assert.equal((await log.append("finding", { n, padding: "g".repeat(200) })).durable, true);
    }
  } finally {
    execFileSync("umount", [planted], { timeout: 10_000 });
  }
  assert.match(troubles[0]?.message ?? "", /cannot be rotated.*EBUSY/);
  await until("the log is rotated", async () => {
    await log.append("finding", {});
    return troubles.at(-1)?.recovered === true;
  });
  await log.close();
  const report = await verifyAuditLog(path);
  assert.ok(report.ok, JSON.stringify(report));
});

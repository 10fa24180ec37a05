import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readAuditLog, verifyAuditLog } from "../../src/store/audit-verify.ts";
import { namesIn, openLog, scratch } from "./scratch.ts";

const WRITER = fileURLToPath(new URL("audit-writer.ts", import.meta.url));

interface Acknowledged {
  readonly seq: number;
  readonly id: string;
}

/** Runs a writer, kills it with SIGKILL after a random number of records and a random moment; what it acknowledged. */
async function killedWriter(directory: string, rotateBytes: number, name: string): Promise<Acknowledged[]> {
  const child = spawn(process.execPath, ["--import", "tsx", WRITER, directory, String(rotateBytes), name], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "close");
  let trouble = "";
  child.stderr.on("data", (data) => (trouble += data));
  const acknowledged: Acknowledged[] = [];
  const stopAfter = Math.floor(Math.random() * 40);
  let due = false;
  for await (const line of createInterface({ input: child.stdout })) {
    const [seq, id] = line.split(" ");
    if (id !== undefined) acknowledged.push({ seq: Number(seq), id });
    if (due || acknowledged.length < stopAfter) continue;
    due = true;
    setTimeout(() => child.kill("SIGKILL"), Math.random() * 6);
  }
  const [, signal] = await ended;
  assert.equal(signal, "SIGKILL", trouble);
  assert.equal(trouble, "");
  return acknowledged;
}

async function survives(directory: string, rotateBytes: number, kills: number): Promise<void> {
  const path = join(directory, "audit.log");
  const publicKeyFile = join(directory, "audit.key.pub");
  const acknowledged: Acknowledged[] = [];
  for (let kill = 0; kill < kills; kill += 1) {
    acknowledged.push(...(await killedWriter(directory, rotateBytes, `r${kill}`)));
    if (!existsSync(publicKeyFile)) continue;
    const report = await verifyAuditLog(path, { publicKeyFile });
    assert.ok(report.ok || report.records + acknowledged.length === 0, JSON.stringify(report));
  }
  assert.ok(acknowledged.length > kills, `${acknowledged.length} records over ${kills} kills`);
  const { log, troubles } = await openLog(directory);
  await log.close();
  assert.deepEqual(troubles, []);
  const report = await verifyAuditLog(path, { publicKeyFile });
  assert.ok(report.ok, JSON.stringify(report));
  const ids = new Map<number, unknown>();
  for await (const { seq, type, body } of readAuditLog(path)) if (type === "finding") ids.set(seq, body["id"]);
  for (const { seq, id } of acknowledged) assert.equal(ids.get(seq), id);
  assert.equal(new Set(ids.values()).size, ids.size, "a record stands twice");
  const left = namesIn(directory).filter((name) => !/^audit\.(key|key\.pub|log|log\.\d{12})$/.test(name));
  assert.deepEqual(left, []);
}

test("24 kills among rotations lose no acknowledged record", { timeout: 120_000 }, async (t) => {
  await survives(scratch(t), 900, 24);
});

test("8 kills in one large file lose no acknowledged record", { timeout: 120_000 }, async (t) => {
  await survives(scratch(t), 64 * 1024 * 1024, 8);
});

test("a living writer in another process is refused by its pid", { timeout: 60_000 }, async (t) => {
  const directory = scratch(t);
  const child = spawn(process.execPath, ["--import", "tsx", WRITER, directory, "100000", "x"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  try {
    await once(child.stdout, "data");
    child.stdout.resume();
    await assert.rejects(openLog(directory), (thrown: Error & { code?: string }) => {
      assert.equal(thrown.code, "RIMON_AUDIT");
      assert.match(thrown.message, new RegExp(`by the process ${child.pid},`));
      return true;
    });
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
});

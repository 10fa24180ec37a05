import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { AuditRecord } from "../../src/store/audit-record.ts";
import { readAuditLog, verifyAuditLog, type AuditFilter } from "../../src/store/audit-verify.ts";
import { namesIn, openLog, scratch, until } from "./scratch.ts";

async function recordsOf(path: string, filter: AuditFilter = {}): Promise<AuditRecord[]> {
  const records: AuditRecord[] = [];
  for await (const record of readAuditLog(path, filter)) records.push(record);
  return records;
}

function typesOf(records: readonly AuditRecord[]): string {
  return records.map(({ type }) => type).join(" ");
}

test("a new log begins with start, ends with stop and a checkpoint, and verifies with its public key", async (t) => {
  const directory = scratch(t);
  const { log, path } = await openLog(join(directory, "made"), { start: { version: "0.1.0" } });
  assert.deepEqual(await log.append("finding", { id: "a" }), { durable: true, seq: 2 });
  await log.close();
  await log.close();
  const records = await recordsOf(path);
  assert.equal(typesOf(records), "start finding stop checkpoint");
  assert.equal(records[0]?.body["version"], "0.1.0");
  assert.match(String(records[0]?.body["log"]), /^[0-9a-f]{32}$/);
  assert.deepEqual(Object.keys(records[1] ?? {}), ["v", "seq", "time", "type", "body", "prev"]);
  const report = await verifyAuditLog(path, { publicKeyFile: join(directory, "made/audit.key.pub") });
  assert.deepEqual(report, {
    ok: true,
    records: 4,
    files: 1,
    firstSeq: 1,
    lastSeq: 4,
    checkpoints: 1,
    signedThrough: 4,
    notes: [],
  });
  assert.equal(statSync(join(directory, "made")).mode & 0o777, 0o700);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(directory, "made/audit.key")).mode & 0o777, 0o600);
  assert.equal(statSync(join(directory, "made/audit.key.pub")).mode & 0o777, 0o644);
  assert.deepEqual(namesIn(join(directory, "made")), ["audit.key", "audit.key.pub", "audit.log"]);
});

test("a checkpoint's signature is over the bytes the documentation names", async (t) => {
  const { log, path } = await openLog(scratch(t));
  await log.close();
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const { body: head } = JSON.parse(lines[0] ?? "");
  const { seq, time, prev, body } = JSON.parse(lines.at(-1) ?? "");
  const bytes = ["rimon-audit-checkpoint-v1", head.log, seq, time, body.records, prev].join("\n");
  const key = createPublicKey(log.publicKeyPem);
  assert.ok(verify(null, Buffer.from(bytes), key, Buffer.from(body.signature, "base64")));
  assert.equal(body.publicKey, log.publicKey);
});

test("concurrent appends share syncs, keep their order, and are checkpointed every N records", async (t) => {
  const { log, path } = await openLog(scratch(t), { checkpointEvery: 10 });
  const appended = await Promise.all(Array.from({ length: 300 }, (_, n) => log.append("verdict", { n })));
  assert.ok(appended.every(({ durable }) => durable));
  assert.ok(appended.every(({ seq }, index) => index === 0 || seq > (appended[index - 1]?.seq ?? 0)));
  await log.close();
  const verdicts = await recordsOf(path, { types: ["verdict"] });
  assert.deepEqual(
    verdicts.map(({ body }) => body["n"]),
    Array.from({ length: 300 }, (_, n) => n),
  );
  const report = await verifyAuditLog(path);
  assert.ok(report.ok);
  assert.ok(report.checkpoints >= 30, `${report.checkpoints} checkpoints`);
});

test("the body is taken as it is at the call", async (t) => {
  const { log, path } = await openLog(scratch(t));
  const body = { state: "before", odd: '\u2028 \ud800 ünï "\\', "2": 1, "1": 2, __proto__: null };
  const done = log.append("config", body);
  body.state = "after";
  await done;
  await log.close();
  const [config] = await recordsOf(path, { types: ["config"] });
  assert.equal(config?.body["state"], "before");
  assert.equal((await verifyAuditLog(path)).ok, true);
});

test("types that are the log's own, bodies that are no objects and a closed log are refused", async (t) => {
  const { log } = await openLog(scratch(t));
  await assert.rejects(log.append("checkpoint", {}), { code: "RIMON_USAGE" });
  await assert.rejects(log.append("No Word", {}), { code: "RIMON_USAGE" });
  await assert.rejects(log.append("finding", []), { code: "RIMON_USAGE" });
  await assert.rejects(log.append("finding", { big: "x".repeat(6 * 1024 * 1024) }), { code: "RIMON_USAGE" });
  await log.close();
  await assert.rejects(log.append("finding", {}), { code: "RIMON_USAGE" });
});

test("a log is continued over restarts, and over files", async (t) => {
  const directory = scratch(t);
  const wanted: string[] = [];
  for (let run = 0; run < 4; run += 1) {
    const { log } = await openLog(directory, { rotateBytes: 2000 });
    for (let n = 0; n < 9; n += 1) {
      wanted.push(`${run}-${n}`);
      await log.append("finding", { id: `${run}-${n}`, padding: "y".repeat(150) });
    }
    await log.close();
  }
  const path = join(directory, "audit.log");
  const files = namesIn(directory).filter((name) => name.startsWith("audit.log"));
  assert.ok(files.length > 4, files.join());
  for (const file of files) assert.ok(statSync(join(directory, file)).size <= 2300, file);
  const report = await verifyAuditLog(path, { publicKeyFile: join(directory, "audit.key.pub") });
  assert.deepEqual(report.notes, []);
  assert.ok(report.ok);
  assert.equal(report.files, files.length);
  assert.equal(report.lastSeq, report.records);
  assert.equal(report.signedThrough, report.lastSeq);
  const findings = await recordsOf(path, { types: ["finding"] });
  assert.deepEqual(
    findings.map(({ body }) => body["id"]),
    wanted,
  );
  const single = await verifyAuditLog(join(directory, files[2] ?? ""));
  assert.ok(single.ok);
  assert.match(single.notes.join(), /beginning is not anchored/);
});

test("a record larger than a file gets one to itself", async (t) => {
  const { log, path } = await openLog(scratch(t), { rotateBytes: 100 });
  for (let n = 0; n < 5; n += 1) assert.ok((await log.append("finding", { n, padding: "z".repeat(400_000) })).durable);
  await log.close();
  const report = await verifyAuditLog(path);
  assert.ok(report.ok);
  assert.equal(report.files, 6);
});

test("a torn last line is reported, then cut off and recorded", async (t) => {
  const directory = scratch(t);
  const first = await openLog(directory);
  await first.log.append("finding", { id: "kept" });
  await first.log.close();
  appendFileSync(first.path, '{"v":1,"seq":5,"ti');
  const torn = await verifyAuditLog(first.path);
  assert.deepEqual([torn.ok, torn.torn], [true, { bytes: 18 }]);
  const second = await openLog(directory);
  await second.log.close();
  const records = await recordsOf(first.path);
  assert.equal(typesOf(records), "start finding stop checkpoint recovered start stop checkpoint");
  assert.equal(records[4]?.body["message"], "torn line of 18 bytes removed");
  assert.ok((await verifyAuditLog(first.path)).ok);
});

const cutRotations: readonly { name: string; leave: (path: string) => void; note: RegExp }[] = [
  { name: "no new file", leave: () => {}, note: /is not there: a rotation was cut short/ },
  {
    name: "an empty new file",
    leave: (path) => writeFileSync(path, "", { mode: 0o600 }),
    note: /has no complete line yet/,
  },
  { name: "a torn first line", leave: (path) => writeFileSync(path, '{"v":1,', { mode: 0o600 }), note: /torn/ },
];
for (const { name, leave, note } of cutRotations) {
  test(`a crash in the middle of a rotation that left ${name} verifies and is continued`, async (t) => {
    const directory = scratch(t);
    const { log, path } = await openLog(directory);
    await log.append("finding", { id: "before" });
    await log.close();
    renameSync(path, `${path}.000000000001`);
    leave(path);
    const before = await verifyAuditLog(path);
    assert.ok(before.ok, JSON.stringify(before));
    assert.match(before.notes.join(), note);
    const second = await openLog(directory);
    assert.deepEqual(second.troubles, []);
    await second.log.append("finding", { id: "behind" });
    await second.log.close();
    const report = await verifyAuditLog(path, { publicKeyFile: join(directory, "audit.key.pub") });
    assert.ok(report.ok, JSON.stringify(report));
    assert.equal(report.files, 2);
    assert.match(typesOf(await recordsOf(path)), /checkpoint rotate (recovered ){1,2}start finding stop checkpoint$/);
  });
}

test("a torn first line of a first file is begun again", async (t) => {
  const directory = scratch(t);
  writeFileSync(join(directory, "audit.log"), '{"v":1', { mode: 0o600 });
  const { log, path, troubles } = await openLog(directory);
  await log.close();
  assert.deepEqual(troubles, []);
  assert.equal(typesOf(await recordsOf(path)), "start recovered stop checkpoint");
  assert.ok((await verifyAuditLog(path)).ok);
});

const damages: readonly { name: string; damage: (path: string) => void }[] = [
  {
    name: "a changed record",
    damage: (path) => writeFileSync(path, readFileSync(path, "utf8").replace('"type":"stop"', '"type":"spot"')),
  },
  { name: "a last line that is not JSON", damage: (path) => appendFileSync(path, "nonsense\n") },
  { name: "only nonsense", damage: (path) => writeFileSync(path, "\n\n\n") },
  {
    name: "a symbolic link",
    damage: (path) => {
      renameSync(path, `${path}-elsewhere`);
      symlinkSync(`${path}-elsewhere`, path);
    },
  },
  {
    name: "a directory",
    damage: (path) => {
      unlinkSync(path);
      mkdirSync(path);
    },
  },
];
for (const { name, damage } of damages) {
  test(`a log with ${name} is set aside, told, and never again called whole`, async (t) => {
    const directory = scratch(t);
    const first = await openLog(directory, { rotateBytes: 1500 });
    for (let n = 0; n < 12; n += 1) await first.log.append("finding", { id: "Kept", n });
    await first.log.close();
    damage(first.path);
    const second = await openLog(directory);
    assert.deepEqual(
      second.troubles.map(({ recovered }) => recovered),
      [false, true],
      JSON.stringify(second.troubles),
    );
    assert.match(second.troubles[0]?.message ?? "", /does not verify/);
    assert.ok((await second.log.append("finding", { id: "new" })).durable);
    await second.log.close();
    // Once more, and over a rotation: the flaw stays reported.
    const third = await openLog(directory, { rotateBytes: 1000 });
    for (let n = 0; n < 5; n += 1) await third.log.append("finding", { n });
    await third.log.close();
    assert.deepEqual(third.troubles, []);
    assert.equal(namesIn(directory).filter((file) => file.includes(".damaged-")).length, 1);
    const report = await verifyAuditLog(first.path);
    assert.equal(report.ok, false);
    assert.equal(report.firstBad?.kind, "damaged");
    assert.match(report.firstBad?.file ?? "", /audit\.log\.damaged-/);
    const last = (await recordsOf(first.path)).at(-1);
    assert.equal(report.lastSeq, last?.seq);
  });
}

test("a damaged rotated file is not gone on from, whatever a crash left of the current one", async (t) => {
  const directory = scratch(t);
  const first = await openLog(directory);
  await first.log.append("finding", { n: 1 });
  await first.log.close();
  const text = readFileSync(first.path, "utf8").replace('"n":1', '"n":2');
  unlinkSync(first.path);
  writeFileSync(`${first.path}.000000000001`, text, { mode: 0o600 });
  const torn = "t".repeat(5000);
  writeFileSync(first.path, torn, { mode: 0o600 });
  const second = await openLog(directory);
  await second.log.append("finding", { n: 3 });
  await second.log.close();
  assert.equal(second.troubles.length, 2, JSON.stringify(second.troubles));
  assert.ok(!readFileSync(first.path, "utf8").includes(torn));
  assert.equal((await verifyAuditLog(first.path)).firstBad?.file, `${first.path}.000000000001`);
  const third = await openLog(directory);
  await third.log.close();
  assert.deepEqual(third.troubles, []);
});

for (const act of ["removed", "replaced", "renamed", "cut"] as const) {
  test(`a log that is ${act} while it is written is begun anew, and told`, async (t) => {
    const directory = scratch(t);
    const { log, path, troubles } = await openLog(directory);
    await log.append("finding", { n: 1 });
    if (act === "removed") rmSync(path);
    if (act === "renamed") renameSync(path, `${path}.1`);
    if (act === "cut") truncateSync(path, 10);
    if (act === "replaced") {
      writeFileSync(`${path}.new`, readFileSync(path));
      renameSync(`${path}.new`, path);
    }
    await log.append("finding", { n: 2 });
    await log.append("finding", { n: 3 });
    await log.close();
    assert.deepEqual(
      troubles.map(({ recovered }) => recovered),
      [false, true],
      JSON.stringify(troubles),
    );
    assert.deepEqual(
      (await recordsOf(path, { types: ["finding"] })).map(({ body }) => body["n"]),
      [2, 3],
    );
    const report = await verifyAuditLog(path);
    assert.deepEqual([report.ok, report.firstBad?.kind], [false, "damaged"]);
  });
}

test("a file planted where a rotated one should go is not overwritten", async (t) => {
  const directory = scratch(t);
  const { log, path } = await openLog(directory, { rotateBytes: 1000 });
  writeFileSync(`${path}.000000000001`, "planted");
  for (let n = 0; n < 6; n += 1) await log.append("finding", { n, padding: "p".repeat(200) });
  await log.close();
  assert.ok((await verifyAuditLog(path)).ok);
  const aside = namesIn(directory).find((name) => name.includes("000000000001.damaged-"));
  assert.equal(readFileSync(join(directory, aside ?? ""), "utf8"), "planted");
});

test("a second writer is refused by name, and a lock left behind is taken over", async (t) => {
  const directory = scratch(t);
  const { log, path } = await openLog(directory);
  await assert.rejects(openLog(directory), { code: "RIMON_AUDIT", message: /is being written by this very process/ });
  await log.close();
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  const startOf = (pid: number) =>
    readFileSync(`/proc/${pid}/stat`, "latin1")
      .replace(/^.*\) /s, "")
      .split(" ")[19];
  symlinkSync(`1:${startOf(1)}:${boot}`, `${path}.lock`);
  await assert.rejects(openLog(directory), { code: "RIMON_AUDIT", message: /is being written by the process 1,/ });
  for (const stale of [`${process.pid}:1:${boot}`, `1:${startOf(1)}:another-boot`, "nonsense"]) {
    rmSync(`${path}.lock`, { force: true });
    symlinkSync(stale, `${path}.lock`);
    const { log: next } = await openLog(directory);
    await next.close();
  }
  writeFileSync(`${path}.lock`, "");
  await (await openLog(directory)).log.close();
  assert.ok(!namesIn(directory).some((name) => name.includes("lock")));
});

test("a signing key that others could read, own or that is none is refused with what to do", async (t) => {
  const directory = scratch(t);
  await (await openLog(directory)).log.close();
  const key = join(directory, "audit.key");
  chmodSync(key, 0o640);
  await assert.rejects(openLog(directory), { code: "RIMON_AUDIT", message: /has mode 0640.*move it away/ });
  chmodSync(key, 0o600);
  if (process.geteuid?.() === 0) {
    chownSync(key, 12345, 0);
    await assert.rejects(openLog(directory), {
      code: "RIMON_AUDIT",
      message: /belongs to user 12345, not to user 0.*chown 0/,
    });
    chownSync(key, 0, 0);
  }
  chmodSync(key, 0o400);
  await (await openLog(directory)).log.close();
  const pem = readFileSync(key, "utf8");
  chmodSync(key, 0o600);
  writeFileSync(key, pem.slice(0, -40));
  await assert.rejects(openLog(directory), (thrown: Error) => {
    assert.match(thrown.message, /is not an Ed25519 private key/);
    assert.ok(!thrown.message.includes(pem.split("\n")[1] ?? ""));
    return true;
  });
});

test("a public key that was exchanged is written anew and told", async (t) => {
  const directory = scratch(t);
  await (await openLog(directory)).log.close();
  writeFileSync(join(directory, "audit.key.pub"), "other");
  const { log, troubles } = await openLog(directory);
  await log.close();
  assert.match(troubles[0]?.message ?? "", /held another key/);
  assert.equal(readFileSync(join(directory, "audit.key.pub"), "utf8"), log.publicKeyPem);
});

test("another signing key begins a new log rather than going on with the old one", async (t) => {
  const directory = scratch(t);
  await (await openLog(directory)).log.close();
  rmSync(join(directory, "audit.key"));
  const { log, path } = await openLog(directory);
  await log.close();
  const report = await verifyAuditLog(path);
  assert.equal(report.firstBad?.kind, "damaged");
  assert.match(report.firstBad?.reason ?? "", /names the key/);
});

test("a log is read and verified while it is written and rotated", async (t) => {
  const { log, path } = await openLog(scratch(t), { rotateBytes: 4000 });
  let writing = true;
  const writer = (async () => {
    for (let n = 0; n < 400; n += 1) await log.append("finding", { n, padding: "w".repeat(100) });
    writing = false;
  })();
  let rounds = 0;
  while (writing) {
    const report = await verifyAuditLog(path);
    assert.ok(report.ok, JSON.stringify(report));
    rounds += 1;
  }
  await writer;
  await log.close();
  assert.ok(rounds > 0);
  assert.equal((await recordsOf(path, { types: ["finding"] })).length, 400);
});

test("records are filtered by time and number", async (t) => {
  let now = 1_000_000;
  const { log, path } = await openLog(scratch(t), { now: () => now });
  for (let n = 0; n < 5; n += 1) {
    now += 1000;
    await log.append("finding", { n });
  }
  await log.close();
  const ns = async (filter: AuditFilter) =>
    (await recordsOf(path, { types: ["finding"], ...filter })).map(({ body }) => body["n"]);
  assert.deepEqual(await ns({ since: 1_002_000, until: 1_004_000 }), [1, 2]);
  assert.deepEqual(await ns({ fromSeq: 5 }), [3, 4]);
  appendFileSync(path, "nonsense\n");
  await assert.rejects(recordsOf(path), { code: "RIMON_AUDIT", message: /audit\.log:9: this line is no audit record/ });
  const bad: number[] = [];
  assert.equal((await recordsOf(path, { onBad: (_file, line) => bad.push(line) })).length, 8);
  assert.deepEqual(bad, [9]);
});

test("the queue is bounded: what does not fit is counted and recorded as lost", async (t) => {
  const { log, path, troubles } = await openLog(scratch(t), { queueLimit: 10 });
  const appended = await Promise.all(Array.from({ length: 25 }, (_, n) => log.append("finding", { n })));
  assert.equal(appended.filter(({ durable }) => !durable).length >= 15, true);
  await until("the log is whole again", () => log.stats().failingSince === undefined);
  await log.close();
  const records = await recordsOf(path);
  assert.equal(records.filter(({ type }) => type === "finding").length, 10);
  assert.deepEqual(
    records.filter(({ type }) => type === "lost").map(({ body }) => body),
    [{ count: 15 }],
  );
  assert.equal(log.stats().lost, 15);
  assert.deepEqual(troubles.at(-1)?.recovered, true);
});

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { Chain, parseLine } from "../../src/store/audit-record.ts";
import { readAuditLog, verifyAuditLog } from "../../src/store/audit-verify.ts";
import { openLog, scratch } from "../store/scratch.ts";

async function report(path: string): Promise<boolean> {
  const verification = await verifyAuditLog(path);
  assert.equal(verification.ok, verification.firstBad === undefined);
  let records = 0;
  for await (const record of readAuditLog(path, { onBad: () => {} })) records += record.seq > 0 ? 1 : 0;
  assert.ok(records >= verification.records);
  return verification.ok;
}

test("verifying arbitrary bytes gives a report, never an exception, and never calls them a log", async (t) => {
  const path = join(scratch(t), "audit.log");
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 4096 }),
    fc.array(fc.oneof(fc.json(), fc.string()), { maxLength: 20 }).map((lines) => Buffer.from(lines.join("\n"))),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (content) => {
      writeFileSync(path, content);
      // Without one newline it may be the torn beginning of a log.
      assert.equal(await report(path), !content.includes(0x0a));
    }),
    { numRuns: 300 },
  );
});

test("a log with any stretch of bytes replaced, but for its torn tail, is not whole", async (t) => {
  const directory = scratch(t);
  const { log, path } = await openLog(directory, { checkpointEvery: 3 });
  for (let n = 0; n < 6; n += 1) await log.append("finding", { n, text: "ünï\u2028", list: [n, null, { a: true }] });
  await log.close();
  const good = readFileSync(path);
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: good.length - 1 }),
      fc.nat({ max: 300 }),
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat({ max: 300 }).map((at) => good.subarray(at, at + 200)),
      ),
      async (at, removed, inserted) => {
        const bad = Buffer.concat([good.subarray(0, at), inserted, good.subarray(at + removed)]);
        writeFileSync(path, bad);
        const whole = await report(path);
        // What is still called whole is a beginning of the log and at most a torn line.
        if (whole)
          assert.ok(good.subarray(0, bad.lastIndexOf(0x0a) + 1).equals(bad.subarray(0, bad.lastIndexOf(0x0a) + 1)));
      },
    ),
    { numRuns: 500 },
  );
});

test("a record of arbitrary fields is refused with a reason or accepted, never an exception", () => {
  const field = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom("start", "rotate", "damaged", "checkpoint", 1, 2),
    fc.string(),
  );
  const body = fc.record({
    log: fc.oneof(field, fc.constant("0".repeat(32))),
    publicKey: fc.oneof(field, fc.constant(`ed25519:${Buffer.alloc(32, 7).toString("base64url")}`)),
    records: field,
    signature: field,
    file: field,
    line: field,
    lastGoodSeq: field,
  });
  const prev = fc.oneof(field, fc.constant(`sha256:${"0".repeat(64)}`));
  const time = fc.oneof(field, fc.constant("2026-01-02T03:04:05.678Z"));
  const record = fc.record({ v: fc.oneof(field, fc.constant(1)), seq: field, time, type: field, body, prev });
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), (records) => {
      const chain = new Chain();
      chain.beginFile();
      for (const each of records) {
        const line = Buffer.from(JSON.stringify(each));
        const parsed = parseLine(line);
        const flaw = chain.accept(line);
        if (typeof parsed === "string") assert.equal(flaw?.kind, "json");
        if (flaw !== undefined) assert.ok(flaw.reason.length > 0);
      }
    }),
    { numRuns: 1000 },
  );
});

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test, type TestContext } from "node:test";
import { checkpointBody, formatLine, hashOf } from "../../src/store/audit-record.ts";
import { verifyAuditLog } from "../../src/store/audit-verify.ts";
import { publicKeyName } from "../../src/store/signing-key.ts";
import { namesIn, openLog, scratch } from "./scratch.ts";

interface Made {
  readonly directory: string;
  readonly path: string;
  readonly publicKeyFile: string;
  readonly lines: Buffer[];
}

async function makeLog(t: TestContext, findings: number, rotateBytes = 1024 * 1024): Promise<Made> {
  const directory = scratch(t);
  const { log, path } = await openLog(directory, { checkpointEvery: 4, rotateBytes });
  for (let n = 0; n < findings; n += 1) await log.append("finding", { n });
  await log.close();
  const lines = readFileSync(path, "latin1")
    .trimEnd()
    .split("\n")
    .map((line) => Buffer.from(line, "latin1"));
  return { directory, path, publicKeyFile: join(directory, "audit.key.pub"), lines };
}

function linesToBytes(lines: readonly Buffer[]): Buffer {
  return Buffer.concat(lines.flatMap((line) => [line, Buffer.from("\n")]));
}

/** As somebody without the key would: everything behind the change chained again. */
function rechained(lines: readonly Buffer[]): Buffer[] {
  let prev = `sha256:${"0".repeat(64)}`;
  return lines.map((line, index) => {
    const { time, type, body } = JSON.parse(line.toString());
    const again = formatLine(index + 1, time, type, JSON.stringify(body), prev);
    prev = hashOf(again);
    return again;
  });
}

test("every flipped bit of every byte is detected, or reported as a torn line", async (t) => {
  const { path, publicKeyFile } = await makeLog(t, 2);
  const good = readFileSync(path);
  for (let at = 0; at < good.length; at += 1) {
    for (const bit of [1, 0x20, 0x80]) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ bit;
      writeFileSync(path, bad);
      const report = await verifyAuditLog(path, { publicKeyFile });
      const reported = !report.ok || (at === good.length - 1 && report.torn !== undefined);
      assert.ok(reported, `byte ${at}, bit ${bit}: ${JSON.stringify(report)}`);
    }
  }
});

const edits: readonly { name: string; edit: (lines: Buffer[]) => Buffer[]; kind: string; line: number }[] = [
  { name: "removed", edit: (lines) => lines.toSpliced(2, 1), kind: "sequence", line: 3 },
  { name: "doubled", edit: (lines) => lines.toSpliced(2, 0, lines[2] ?? Buffer.alloc(0)), kind: "sequence", line: 4 },
  {
    name: "exchanged with the next",
    edit: ([a, b, c, d, ...rest]) => [a, b, d, c, ...rest].filter((line) => line !== undefined),
    kind: "sequence",
    line: 3,
  },
  {
    name: "changed",
    edit: (lines) => lines.with(2, Buffer.from((lines[2] ?? "").toString().replace('"n":1', '"n":7'))),
    kind: "hash",
    line: 4,
  },
  {
    name: "changed, with all behind it chained again",
    edit: (lines) => rechained(lines.with(2, Buffer.from((lines[2] ?? "").toString().replace('"n":1', '"n":7')))),
    kind: "signature",
    line: 5,
  },
  {
    name: "removed from a log chained again",
    edit: (lines) => rechained(lines.toSpliced(2, 1)),
    kind: "sequence",
    line: 4,
  },
  { name: "replaced by no JSON", edit: (lines) => lines.with(2, Buffer.from("{}}")), kind: "json", line: 3 },
  {
    name: "spelled with a space more",
    edit: (lines) => lines.with(lines.length - 1, Buffer.from((lines.at(-1) ?? "").toString().replace(",", ", "))),
    kind: "json",
    line: -1,
  },
  {
    name: "17 MiB long",
    edit: (lines) => lines.with(2, Buffer.alloc(17 * 1024 * 1024, "a")),
    kind: "json",
    line: 3,
  },
];
for (const { name, edit, kind, line } of edits) {
  test(`a record that was ${name} is found at its line`, async (t) => {
    const { path, publicKeyFile, lines } = await makeLog(t, 6);
    writeFileSync(path, linesToBytes(edit(lines)));
    for (const options of [{}, { publicKeyFile }]) {
      const report = await verifyAuditLog(path, options);
      assert.equal(report.ok, false);
      assert.deepEqual([report.firstBad?.kind, report.firstBad?.line], [kind, line < 0 ? lines.length : line]);
      assert.equal(report.records, (report.firstBad?.line ?? 0) - 1);
    }
  });
}

/** The whole log written anew by somebody with a key of their own. */
function forged(lines: readonly Buffer[], onlyLast: boolean): Buffer[] {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const name = publicKeyName(publicKey);
  let prev = `sha256:${"0".repeat(64)}`;
  let log = "";
  return lines.map((line, index) => {
    const { seq, time, type, body } = JSON.parse(line.toString());
    if (index === 0) {
      log = body.log;
      if (!onlyLast) body.publicKey = name;
    }
    const sign = type === "checkpoint" && (!onlyLast || index === lines.length - 1);
    const text = sign
      ? checkpointBody({ log, seq, time, records: index, prev }, name, privateKey)
      : JSON.stringify(body);
    const again = formatLine(seq, time, type, text, prev);
    prev = hashOf(again);
    return again;
  });
}

test("a checkpoint forged with another key is found, with and without the public key", async (t) => {
  const { path, publicKeyFile, lines } = await makeLog(t, 6);
  writeFileSync(path, linesToBytes(forged(lines, true)));
  for (const options of [{}, { publicKeyFile }]) {
    const report = await verifyAuditLog(path, options);
    assert.deepEqual([report.firstBad?.kind, report.firstBad?.line], ["key", lines.length]);
  }
});

test("a log forged as a whole is found by its public key only, and a report without one says so", async (t) => {
  const { path, publicKeyFile, lines } = await makeLog(t, 6);
  writeFileSync(path, linesToBytes(forged(lines, false)));
  const without = await verifyAuditLog(path);
  assert.equal(without.ok, true);
  assert.match(without.notes.join(), /signatures were checked against ed25519:.*, which the log itself names/);
  const report = await verifyAuditLog(path, { publicKeyFile });
  assert.deepEqual([report.firstBad?.kind, report.firstBad?.line], ["key", 1]);
});

test("a log cut off after a whole line says what is not signed", async (t) => {
  const { path, lines } = await makeLog(t, 6);
  writeFileSync(path, linesToBytes(lines.slice(0, 7)));
  const report = await verifyAuditLog(path);
  assert.deepEqual([report.ok, report.signedThrough, report.lastSeq], [true, 5, 7]);
  assert.match(report.notes.join(), /2 records after the last checkpoint are chained but not yet signed/);
});

test("a rotated file that is gone is named: the first, one in the middle", async (t) => {
  const { directory, path, publicKeyFile } = await makeLog(t, 40, 1500);
  const rotated = namesIn(directory).filter((name) => /\.\d{12}$/.test(name));
  assert.ok(rotated.length > 4);
  for (const gone of [rotated[0] ?? "", rotated[2] ?? ""]) {
    copyFileSync(join(directory, gone), join(directory, "kept"));
    rmSync(join(directory, gone));
    const report = await verifyAuditLog(path, { publicKeyFile });
    assert.deepEqual([report.firstBad?.kind, basename(report.firstBad?.file ?? "")], ["missing", gone]);
    copyFileSync(join(directory, "kept"), join(directory, gone));
  }
  assert.ok((await verifyAuditLog(path, { publicKeyFile })).ok);
});

test("a rotated file whose last lines were cut off is found, its checkpoint being gone", async (t) => {
  const { directory, path } = await makeLog(t, 40, 1500);
  const [first = ""] = namesIn(directory).filter((name) => /\.\d{12}$/.test(name));
  const text = readFileSync(join(directory, first), "utf8");
  writeFileSync(join(directory, first), text.slice(0, text.trimEnd().lastIndexOf("\n") + 1));
  assert.equal((await verifyAuditLog(join(directory, first))).ok, true);
  assert.equal((await verifyAuditLog(path)).firstBad?.kind, "unsigned");
});

test("files of two logs do not make one", async (t) => {
  const one = await makeLog(t, 20, 1500);
  const other = await makeLog(t, 20, 1500);
  const names = namesIn(one.directory).filter((name) => /\.\d{12}$/.test(name));
  copyFileSync(join(other.directory, names[1] ?? ""), join(one.directory, names[1] ?? ""));
  assert.equal((await verifyAuditLog(one.path)).firstBad?.kind, "hash");
  assert.equal((await verifyAuditLog(one.path, { publicKeyFile: one.publicKeyFile })).firstBad?.kind, "key");
});

test("what is no log at all is a report, and what is no public key is an error", async (t) => {
  const directory = scratch(t);
  assert.equal((await verifyAuditLog(join(directory, "none"))).firstBad?.kind, "unreadable");
  assert.equal((await verifyAuditLog(directory)).firstBad?.kind, "unreadable");
  await assert.rejects(verifyAuditLog(directory, { publicKeyFile: join(directory, "none") }), { code: "RIMON_AUDIT" });
});

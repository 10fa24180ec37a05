import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { openAuditLog } from "../../src/store/audit-log.ts";
import { runCommand } from "../fixtures/command.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { verdictOf } from "../responders/verdicts.ts";
import { ANSI, jsonLines } from "./commands.ts";

const OTHER = "01JD0000000000000000000001";

/** Holds start, two verdicts, an outcome of the first, stop and a checkpoint. */
async function writtenLog(): Promise<string> {
  const directory = temporaryDirectory("audit");
  const path = join(directory, "audit.ndjson");
  const log = await openAuditLog({
    path,
    keyFile: join(directory, "audit.key"),
    rotateBytes: 1024 * 1024,
    checkpointEvery: 64,
    now: Date.now,
    onTrouble: (message) => assert.fail(message),
  });
  const verdict = verdictOf({}, [{ action: "alert", allowed: true }]);
  await log.append("verdict", verdict);
  await log.append("verdict", verdictOf({ id: OTHER, rule: "ptrace-attach", message: "evil \u001b[2J (9) attached" }));
  await log.append("outcome", {
    type: "outcome",
    version: 1,
    time: verdict.finding.time,
    finding: verdict.finding.id,
    action: "alert",
    result: "done",
    message: "told 1 sink",
    durationMs: 3,
  });
  await log.close();
  return path;
}

let log: string;
before(async () => {
  log = await writtenLog();
});

describe("audit show", () => {
  it("prints a record a line, and nothing a process could have put there to steer the terminal", async () => {
    const { code, stdout, stderr } = await runCommand(["audit", "show", log]);
    assert.deepEqual([code, stderr], [0, ""]);
    const lines = stdout.split("\n");
    assert.deepEqual(
      lines.map((line) => line.trim().split(/\s+/)[3]),
      ["start", "verdict", "verdict", "outcome", "stop", "checkpoint"],
    );
    assert.match(lines[1]!, /critical memory-read: gdb \(9312, root\) read the memory of vault \(4121\) -> alert$/);
    assert.doesNotMatch(stdout, ANSI);
  });

  it("--json prints the records as they are in the file", async () => {
    const { stdout } = await runCommand(["audit", "show", log, "--json"]);
    assert.deepEqual(jsonLines(stdout), jsonLines(readFileSync(log, "utf8")));
  });

  it("--finding takes a finding's verdict and outcomes, --type one kind", async () => {
    const types = async (...args: string[]) =>
      jsonLines((await runCommand(["audit", "show", log, "--json", ...args])).stdout).map(({ type }) => type);
    assert.deepEqual(await types("--finding", "01JD0000000000000000000000"), ["verdict", "outcome"]);
    assert.deepEqual(await types("--finding", OTHER), ["verdict"]);
    assert.deepEqual(await types("--type", "verdict"), ["verdict", "verdict"]);
    assert.deepEqual(await types("--type", "verdict", "--finding", OTHER), ["verdict"]);
    assert.deepEqual(await types("--finding", "none"), []);
  });

  it("says so if no record matches", async () => {
    const { code, stdout } = await runCommand(["audit", "show", log, "--finding", "none"]);
    assert.deepEqual([code, stdout], [0, "no record matches"]);
  });
});

describe("audit verify", () => {
  it("is 0 for a whole log", async () => {
    const { code, stdout, stderr } = await runCommand(["audit", "verify", log]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^verified {2}.*: records 1 to 6 in 1 file, 1 signed checkpoints/);
  });

  it("is 1 for one flipped byte, and names the record", async () => {
    const copy = await writtenLog();
    const bytes = readFileSync(copy);
    const at = bytes.indexOf("ptrace-attach");
    bytes[at] = bytes[at]! ^ 1;
    writeFileSync(copy, bytes);
    const told = await runCommand(["audit", "verify", copy]);
    assert.equal(told.code, 1);
    assert.match(told.stdout, /^NOT VERIFIED/);
    // Each record carries the digest of the one before it: the change shows in the third or right behind it.
    assert.match(told.stdout, /^first bad record {2}.*audit\.ndjson:[34]\b.*: \S/m);
    const { ok, firstBad } = JSON.parse((await runCommand(["audit", "verify", copy, "--json"])).stdout) as {
      ok: boolean;
      firstBad: { line: number; reason: string };
    };
    assert.equal(ok, false);
    assert.ok(firstBad.line === 3 || firstBad.line === 4, JSON.stringify(firstBad));
  });

  it("is 1 for another's key", async () => {
    const stranger = await writtenLog();
    const { code, stdout } = await runCommand([
      "audit",
      "verify",
      log,
      "--public-key",
      join(stranger, "../audit.key.pub"),
    ]);
    assert.equal(code, 1);
    assert.match(stdout, /^NOT VERIFIED/);
  });
});

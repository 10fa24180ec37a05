import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Finding } from "../../src/finding.ts";
import { summaryOf } from "../captures/replayed.ts";
import { aProcess, attached, seen } from "../detectors/observations.ts";
import { runCommand } from "../fixtures/command.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { ANSI, jsonLines } from "./commands.ts";

const captures = fileURLToPath(new URL("../captures/", import.meta.url));
const replay = (file: string, ...args: string[]) =>
  runCommand(["replay", file, "--protect", "comm:vault", ...args], {
    // Nothing is written, so no state folder is needed.
    env: { RIMON_STATE_DIR: "/nowhere/at/all" },
  });

describe("replay", { concurrency: 2 }, () => {
  for (const name of ["proc-mem-dd", "seize", "core-pattern"]) {
    it(`${name}: exit code 1 and its findings, each with its verdict`, async () => {
      const { code, stdout, stderr } = await replay(join(captures, `attacks/${name}.ndjson`), "--json");
      assert.deepEqual([code, stderr], [1, ""]);
      const records = jsonLines(stdout);
      const findings = records.filter(({ type }) => type === "finding") as unknown as Finding[];
      const expected: unknown = JSON.parse(readFileSync(join(captures, `attacks/${name}.findings.json`), "utf8"));
      assert.deepEqual(findings.map(summaryOf), expected);
      assert.deepEqual(
        records.map(({ type }) => type),
        findings.flatMap(() => ["finding", "verdict"]),
      );
    });
  }

  it("a person reads who did what, what would be done, and how many were found", async () => {
    const file = join(captures, "attacks/proc-mem-dd.ndjson");
    const { code, stdout } = await replay(file);
    assert.equal(code, 1);
    assert.match(stdout, /^[\d:.]{12} {2}CRITICAL {2}memory-read .*dd \(\d+, root\) .* vault \(\d+, root\)/m);
    assert.match(stdout, /^ {14}from .*> dd \d+ /m);
    assert.match(stdout, /^ {14}would .*\balert\b/m);
    assert.ok(stdout.endsWith(`\n${file}: 1 finding`), stdout);
    assert.doesNotMatch(stdout, /rimon audit show/, "it is in no audit log");
    assert.doesNotMatch(stdout, ANSI);
  });

  for (const name of ["node-jit", "short-processes"]) {
    it(`${name}: exit code 0 without a finding`, async () => {
      const file = join(captures, `quiet/${name}.ndjson`);
      const { code, stdout, stderr } = await replay(file);
      assert.deepEqual([code, stdout, stderr], [0, `${file}: nothing found`, ""]);
      assert.equal((await replay(file, "--json")).stdout, "");
    });
  }

  const good = '{"recording":1,"node":"n","pid":1,"ancestors":[]}\n{"kind":"tick","at":1,"sensor":"clock"}\n';
  const malformed: readonly (readonly [what: string, text: string, says: string])[] = [
    ["no JSON", `${good}nonsense\n`, ":3: expected one JSON object a line: "],
    ["cut short", `${good}{"kind":"tick","at":1,"sen`, ":3: expected one JSON object a line: "],
    ["no object", "[1]\n", ":1: "],
    ["another version", '{"recording":99}\n', ":1: expected a recording of version 1, got 99"],
    ["a header without a node", '{"recording":1}\n', ":1: expected a header with node, pid and ancestors"],
    ["an unknown kind", `${good}\n{"kind":"telepathy","at":1,"sensor":"x"}\n`, ":4: "],
    ["a field of another type", `${good}{"kind":"tick","at":"now","sensor":"clock"}\n`, ":3: "],
  ];
  for (const [what, text, says] of malformed) {
    it(`${what}: exit code 2, the file and the line`, async () => {
      const file = join(temporaryDirectory("replay"), "recording.ndjson");
      writeFileSync(file, text);
      const { code, stdout, stderr } = await replay(file);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.ok(stderr.startsWith(`RIMON_USAGE: ${file}${says}`), stderr);
      assert.doesNotMatch(stderr, /\n {4}at /);
    });
  }

  const EVIL = "gdb\u001b]0;owned\u0007";
  const ATTACK = [
    { recording: 1, node: "node-3", pid: 500, ancestors: [1] },
    seen(aProcess(41)),
    seen(aProcess(93, { comm: EVIL })),
    attached(41, 93),
  ];
  const recorded = (...more: readonly string[]): string => {
    const path = join(temporaryDirectory("replay"), "recording.ndjson");
    writeFileSync(path, [...ATTACK.map((each) => JSON.stringify(each)), ...more].join("\n"));
    return path;
  };

  it("shows nothing a process could have put there to steer the terminal", async () => {
    const { code, stdout } = await replay(recorded());
    assert.equal(code, 1);
    assert.match(stdout, /CRITICAL {2}ptrace-attach +gdb.* \(93, root\) attached to vault \(41, root\) with ptrace/);
    assert.ok(!stdout.includes("\u001b") && !stdout.includes("\u0007"));
  });

  it("gives the same each time, of the node it was recorded on", async () => {
    const path = recorded();
    const { stdout } = await replay(path, "--json");
    const [finding, verdict] = jsonLines(stdout);
    assert.equal(finding?.["node"], "node-3");
    assert.deepEqual(verdict?.["finding"], finding);
    assert.equal((await replay(path, "--json")).stdout, stdout);
  });

  it("shows what came before a line that cannot be used", async () => {
    const path = recorded('{"kind":"process.seen"}');
    const { code, stdout, stderr } = await replay(path);
    assert.equal(code, 2);
    assert.match(stdout, /ptrace-attach/);
    assert.equal(stderr, `RIMON_USAGE: ${path}:5: expected process.seen.at to be milliseconds since the epoch, got nothing\n`); // prettier-ignore
  });

  it("takes its configuration from --config", async () => {
    const path = join(temporaryDirectory("config"), "rimon.yaml");
    writeFileSync(path, "environment: development\nrules: { ptrace-attach: { enabled: false } }\n");
    assert.equal((await replay(recorded(), "--config", path)).code, 0);
  });
});

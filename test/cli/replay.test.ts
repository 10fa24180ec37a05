import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { aProcess, attached, seen } from "../detectors/observations.ts";
import { runCommand } from "../fixtures/command.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { ANSI, jsonLines } from "./commands.ts";

const HEADER = { recording: 1, node: "node-3", pid: 500, ancestors: [1] };
const EVIL = "gdb\u001b]0;owned\u0007";
const ATTACK = [HEADER, seen(aProcess(41)), seen(aProcess(93, { comm: EVIL })), attached(41, 93)];

function recorded(lines: readonly (object | string)[]): string {
  const path = join(temporaryDirectory("recording"), "r.ndjson");
  writeFileSync(path, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  return path;
}

const replayed = (path: string, ...args: string[]) =>
  runCommand(["replay", path, "--protect", "comm:vault", ...args], {
    // Replaying needs no privileges.
    env: { RIMON_STATE_DIR: "/nowhere/at/all" },
  });

describe("replay", () => {
  it("is 1 with findings, and shows them as rimon run does", async () => {
    const { code, stdout, stderr } = await replayed(recorded(ATTACK));
    assert.deepEqual([code, stderr], [1, ""]);
    assert.match(stdout, /CRITICAL {2}ptrace-attach +gdb.* \(93, root\) attached to vault \(41, root\) with ptrace/);
    assert.match(stdout, /would +alert/);
    assert.match(stdout, /: 1 findings$/);
    assert.doesNotMatch(stdout, ANSI);
    assert.ok(!stdout.includes("\u001b") && !stdout.includes("\u0007"));
  });

  it("--json gives the finding and the verdict, the same each time", async () => {
    const path = recorded(ATTACK);
    const { code, stdout } = await replayed(path, "--json");
    assert.equal(code, 1);
    const [finding, verdict, ...none] = jsonLines(stdout);
    assert.deepEqual(none, []);
    assert.deepEqual([finding?.["type"], finding?.["node"], verdict?.["type"]], ["finding", "node-3", "verdict"]);
    assert.deepEqual(verdict?.["finding"], finding);
    assert.equal((await replayed(path, "--json")).stdout, stdout);
  });

  it("is 0 without findings", async () => {
    const path = recorded([HEADER, seen(aProcess(41))]);
    const { code, stdout } = await replayed(path);
    assert.deepEqual([code, stdout], [0, `${path}: nothing found`]);
    assert.deepEqual(await replayed(path, "--json"), { code: 0, stdout: "", stderr: "" });
  });

  it("is 2 for a line that cannot be used, behind what came before it", async () => {
    const path = recorded([...ATTACK, '{"kind":"process.seen"}']);
    const { code, stdout, stderr } = await replayed(path);
    assert.equal(code, 2);
    assert.match(stdout, /ptrace-attach/);
    assert.equal(stderr, `RIMON_USAGE: ${path}:5: expected process.seen.at to be milliseconds since the epoch, got nothing\n`); // prettier-ignore
  });

  it("takes its configuration from --config", async () => {
    const path = join(temporaryDirectory("config"), "rimon.yaml");
    writeFileSync(path, "environment: development\nrules: { ptrace-attach: { enabled: false } }\n");
    assert.equal((await replayed(recorded(ATTACK), "--config", path)).code, 0);
  });
});

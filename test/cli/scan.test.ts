import assert from "node:assert/strict";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { describe, it } from "node:test";
import { runCommand } from "../fixtures/command.ts";
import { spawnTarget } from "../fixtures/target.ts";
import { ANSI, jsonLines } from "./commands.ts";

interface Summary {
  readonly type: "scan";
  readonly processes: number;
  readonly findings: number;
  readonly protected: readonly { pid: number; by: string }[];
  readonly weaknesses: readonly { pid: number; message: string }[];
  readonly sensors: readonly { name: string; state: string }[];
}

async function scanned(
  pid: number,
): Promise<{ code: number | null; findings: Record<string, unknown>[]; summary: Summary }> {
  const { code, stdout, stderr } = await runCommand(["scan", "--json", "--protect", `pid:${pid}`]);
  assert.equal(stderr, "");
  assert.doesNotMatch(stdout, ANSI);
  const lines = jsonLines(stdout);
  return { code, findings: lines.slice(0, -1), summary: lines.at(-1) as unknown as Summary };
}

describe("scan", () => {
  it("tells who is protected and how weak, and its exit code whether something was found", async () => {
    const target = await spawnTarget({ core: "unlimited" });
    const { code, findings, summary } = await scanned(target.pid);
    assert.equal(summary.type, "scan");
    assert.deepEqual(summary.protected.map(({ pid, by }) => [pid, by]), [[target.pid, `pid:${target.pid}`]]); // prettier-ignore
    assert.ok(summary.weaknesses.some(({ pid, message }) => pid === target.pid && message.startsWith("a crash ")));
    assert.ok(summary.processes > 1);
    assert.equal(summary.findings, findings.length);
    // Others on this machine may run a debugger of their own; what they do is not for this test to say.
    assert.equal(code, findings.length === 0 ? 0 : 1);
    assert.deepEqual(findings.filter(({ target }) => target !== undefined), []); // prettier-ignore
    await target.stop();
  });

  it("is 1 with a debugger at work, and says what it does to whom", async () => {
    const target = await spawnTarget();
    const strace = spawn("strace", ["-o", "/dev/null", "-p", String(target.pid)], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    await once(strace.stderr, "data");
    const { code, findings } = await scanned(target.pid);
    strace.kill("SIGTERM");
    await once(strace, "exit");
    assert.equal(code, 1);
    const mine = findings.filter(({ suspect }) => (suspect as { pid: number } | undefined)?.pid === strace.pid);
    assert.deepEqual(
      mine.map(({ rule, severity }) => [rule, severity]).toSorted(),
      [["debugger-present", "high"], ["ptrace-attach", "critical"]],
    ); // prettier-ignore
    await target.stop();
  });

  it("leaves the sensors that attach alone, and the others live", async () => {
    const { summary } = await scanned(process.pid);
    const names = summary.sensors.map(({ name }) => name);
    assert.ok(!names.includes("fanotify") && !names.includes("proc-connector"), names.join(" "));
    assert.deepEqual(summary.sensors.filter(({ state }) => state !== "live"), []); // prettier-ignore
  });
});

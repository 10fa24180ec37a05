import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Finding } from "../../src/finding.ts";
import { Child } from "../fixtures/child.ts";
import { runCommand } from "../fixtures/command.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { ANSI, jsonLines } from "./commands.ts";

const env = { RIMON_STATE_DIR: temporaryDirectory("state") };

interface Summary {
  readonly type: string;
  readonly node: string;
  readonly processes: number;
  readonly protected: readonly { pid: number; comm: string; exe: string; by: string }[];
  readonly sensors: readonly { name: string; state: string }[];
  readonly weaknesses: readonly { pid: number; message: string }[];
  readonly findings: number;
}

describe("scan", { concurrency: 2 }, () => {
  let target: Target;
  let strace: Child;

  before(async () => {
    target = await spawnTarget({ name: "scan-vault", core: "unlimited" });
    // cat ends with its input, so it outlives neither the test nor strace.
    strace = new Child("strace", ["-o", "/dev/null", "cat"]);
    strace.send("traced");
    await strace.takeLine(20_000);
  });
  after(async () => {
    strace.closeInput();
    await strace.exited;
    await target.stop();
  });

  it("finds the debugger that runs: exit code 1, findings, and the summary as the last line", async () => {
    const { code, stdout, stderr } = await runCommand(["scan", "--json", "--protect", `pid:${target.pid}`], { env });
    assert.deepEqual([code, stderr], [1, ""]);
    const lines = jsonLines(stdout);
    const findings = lines.slice(0, -1) as unknown as Finding[];
    const summary = lines.at(-1) as unknown as Summary;
    assert.ok(findings.every(({ type }) => type === "finding"));
    assert.ok(findings.some(({ rule, suspect }) => rule === "debugger-present" && suspect?.pid === strace.pid));
    assert.equal(summary.type, "scan");
    assert.equal(summary.findings, findings.length);
    assert.ok(summary.processes > 3);
    assert.deepEqual(
      summary.protected.map(({ pid, comm, exe, by }) => [pid, comm, exe, by]),
      [[target.pid, "scan-vault", target.exe, `pid:${target.pid}`]],
    );
    assert.ok(
      summary.sensors.every(({ state }) => state === "live"),
      JSON.stringify(summary.sensors),
    );
    // What attaches is left to rimon run.
    assert.ok(!summary.sensors.some(({ name }) => name === "fanotify" || name === "proc-connector"));
    assert.ok(summary.weaknesses.some(({ pid, message }) => pid === target.pid && /a crash .*memory/.test(message)));
  });

  it("a person reads what is protected, how it is kept, and what was found", async () => {
    const { code, stdout } = await runCommand(["scan", "--protect", "comm:scan-vault"], { env });
    assert.equal(code, 1);
    assert.match(stdout, /^1 protected of \d+ processes$/m);
    assert.match(stdout, new RegExp(`^  scan-vault \\(${target.pid}\\)  ${target.exe}  comm:scan-vault$`, "m"));
    assert.match(stdout, new RegExp(`\nPosture\n  scan-vault \\(${target.pid}\\)  a crash `));
    assert.match(stdout, new RegExp(`\nFindings\n.*debugger-present +strace \\(${strace.pid}, root\\)`, "s"));
    assert.doesNotMatch(stdout, /rimon audit show/, "it is in no audit log");
    assert.doesNotMatch(stdout, ANSI);
  });

  it("says what a debugger does to whom", async () => {
    const victim = await spawnTarget();
    const attached = new Child("strace", ["-o", "/dev/null", "-p", String(victim.pid)]);
    const deadline = Date.now() + 20_000;
    while (!attached.stderr.includes("attached")) {
      assert.ok(Date.now() < deadline, `strace did not attach: ${attached.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const { code, stdout } = await runCommand(["scan", "--json", "--protect", `pid:${victim.pid}`], { env });
    await attached.stop("SIGTERM");
    await victim.stop();
    assert.equal(code, 1);
    const findings = jsonLines(stdout).slice(0, -1) as unknown as Finding[];
    assert.deepEqual(
      findings
        .filter(({ suspect }) => suspect?.pid === attached.pid)
        .map(({ rule, severity }) => [rule, severity])
        .toSorted(),
      [
        ["debugger-present", "high"],
        ["ptrace-attach", "critical"],
      ],
    );
  });
});

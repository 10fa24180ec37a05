import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { startProgram } from "../fixtures/child.ts";
import { runCommand } from "../fixtures/command.ts";
import { startRimon } from "../fixtures/monitor.ts";
import { spawnTarget } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { ANSI, jsonLines } from "./commands.ts";

const DEADLINE_MS = 60_000;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

describe("run", () => {
  it("--json prints nothing but records, and what it records replays to the same rule", async () => {
    const target = await spawnTarget();
    const recording = join(temporaryDirectory("recording"), "r.ndjson");
    const protect = ["--protect", `pid:${target.pid}`];
    const monitor = startRimon({ args: [...protect, "--record", recording] });
    await monitor.ready;
    readFileSync(`/proc/${target.pid}/maps`);
    const finding = await monitor.waitForFinding("maps-read", DEADLINE_MS);
    assert.equal(finding.target?.pid, target.pid);
    assert.equal(await monitor.stop(), 0);
    assert.deepEqual([monitor.strayLines, monitor.stderr], [[], ""]);
    assert.equal(monitor.records[0]?.type, "ready");
    assert.equal(statSync(recording).mode & 0o777, 0o600);

    const { code, stdout } = await runCommand(["replay", recording, ...protect, "--json"]);
    assert.equal(code, 1);
    assert.ok(jsonLines(stdout).some(({ rule, message }) => rule === "maps-read" && message === finding.message));
    await target.stop();
  });

  it("in words: a banner, no ANSI without a terminal, and a clean end", async () => {
    const stateDirectory = temporaryDirectory("state");
    const child = startProgram(main, ["run", "--protect", `pid:${process.pid}`], {
      env: { RIMON_STATE_DIR: stateDirectory },
    });
    await child.lines.waitFor((line) => line.startsWith("no alert sink is configured"), DEADLINE_MS);
    const { code } = await child.stop("SIGINT");
    assert.deepEqual([code, child.stderr], [0, ""]);
    const text = child.lines.items.join("\n");
    assert.match(text, /^rimon \d.* mode monitor$/m);
    assert.match(text, new RegExp(`^protects .*\\(${process.pid}\\) +rimon itself$`, "m"));
    assert.match(text, /^audit +\S+audit\.ndjson/m);
    assert.doesNotMatch(text, ANSI);
    assert.equal((await runCommand(["audit", "verify", join(stateDirectory, "audit.ndjson")])).code, 0);
  });

  it("does not write over what --record names", async () => {
    const recording = join(temporaryDirectory("recording"), "r.ndjson");
    writeFileSync(recording, "precious");
    const env = { RIMON_STATE_DIR: temporaryDirectory("state") };
    const { code, stdout, stderr } = await runCommand(["run", "--record", recording], { env });
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /^RIMON_USAGE: --record wants a file that does not exist yet/);
    assert.equal(readFileSync(recording, "utf8"), "precious");
    assert.ok(!existsSync(join(env.RIMON_STATE_DIR, "audit.ndjson")), "nothing was begun");
  });

  it("SIGHUP with a broken configuration leaves the old one in force, and says so", async () => {
    const monitor = startRimon({ config: `protect: ["pid:${process.pid}"]\n` });
    await monitor.ready;
    writeFileSync(join(monitor.stateDirectory, "rimon.yaml"), "mode: loud\n");
    process.kill(monitor.pid, "SIGHUP");
    const deadline = Date.now() + DEADLINE_MS;
    while (!/configuration not reloaded, the old one stays in force: .*:1:7: mode/.test(monitor.stderr)) {
      assert.ok(Date.now() < deadline, `rimon said nothing of it: ${monitor.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(await monitor.stop(), 0);
  });
});

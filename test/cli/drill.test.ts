// rimon drill as a user runs it, as root: every technique against real decoys.

import assert from "node:assert/strict";
import { chmodSync, chownSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { DrillResult } from "../../src/drill/drill.ts";
import { TECHNIQUES } from "../../src/drill/techniques/all.ts";
import { filesLeft, processesNaming, waitUntilGone } from "../drill/leftovers.ts";
import { startProgram, type Child } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const DEADLINE_MS = 120_000;
const NOBODY = 65_534;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

function startDrill(folder: string, args: readonly string[], uid?: number): Child {
  if (uid !== undefined) {
    chownSync(folder, uid, uid);
    chmodSync(folder, 0o700);
  }
  const env = { TMPDIR: folder, HOME: folder };
  return startProgram(main, ["drill", ...args], { env, ...(uid === undefined ? {} : { uid, gid: uid }) });
}

function corePattern(): string {
  return readFileSync("/proc/sys/kernel/core_pattern", "utf8");
}

function resultsOf({ lines }: Child): Map<string, DrillResult> {
  const results = lines.items.map((line) => JSON.parse(line) as DrillResult);
  return new Map(results.map((result) => [result.technique, result]));
}

/** By which sensors each may be seen, and how much comes out; undefined: not seen. */
const SEEN: Readonly<Record<string, readonly [sensors: readonly string[], leaked: number] | undefined>> = {
  "ptrace-held": [["process-table"], 0],
  "proc-mem-held": [["descriptors", "fanotify"], 32],
  "ptrace-attach": [["proc-connector", "process-table"], 32],
  "ptrace-seize": [["proc-connector", "process-table"], 32],
  "ptrace-thread": [["proc-connector", "process-table"], 32],
  "proc-mem": [["fanotify"], 32],
  "proc-task-mem": [["fanotify"], 32],
  "proc-mem-other-mount": [["fanotify"], 32],
  "proc-mem-detached-mount": undefined,
  "process-vm-readv": undefined,
  "pidfd-getfd": undefined,
  "text-patch": [["fanotify"], 0],
  "code-breakpoint": [["code-pages"], 0],
  "environ-read": [["fanotify"], 32],
  "maps-read": [["fanotify"], 0],
  "debugger-renamed": [["executables", "proc-connector", "process-table"], 0],
  gcore: [["proc-connector", "process-table", "executables"], 32],
  "abort-core": [["proc-connector"], 0],
  "core-pattern-write": [["fanotify", "settings"], 0],
  "ld-preload": [["posture"], 0],
  "ld-audit": [["posture"], 0],
  "own-file-mode": [["own-files"], 0],
  "late-library": [["address-space"], 0],
  "writable-code": [["address-space"], 0],
};

// Each has a folder and decoys of its own, and waits more than it works.
describe("rimon drill", { concurrency: 3 }, () => {
  it("what today's sensors can see is seen, what they cannot is said, and nothing is left", async () => {
    const folder = temporaryDirectory("drill");
    const pattern = corePattern();
    const drill = startDrill(folder, ["--json"]);
    const { code } = await drill.exited;
    const results = resultsOf(drill);
    assert.deepEqual([...results.keys()], Object.keys(SEEN), drill.stderr);

    for (const [technique, expected] of Object.entries(SEEN)) {
      const result = results.get(technique);
      assert.ok(result !== undefined);
      const shown = JSON.stringify(result);
      assert.equal(result.detected, expected !== undefined, shown);
      if (expected === undefined) {
        assert.equal(result.outcome, "blind", shown);
        assert.match(result.reason ?? "", /without eBPF/);
        assert.equal(result.leakedBytes, 32, shown);
        assert.deepEqual([result.sensor, result.rule, result.latencyMs, result.attributed], [null, null, null, null]);
        continue;
      }
      const [sensors, leaked] = expected;
      assert.ok(sensors.includes(result.sensor ?? ""), shown);
      assert.equal(result.leakedBytes, leaked, shown);
      const { anonymous, rules } = TECHNIQUES.find(({ name }) => name === technique) ?? assert.fail(technique);
      assert.equal(result.attributed, anonymous === true ? null : true, shown);
      assert.ok(rules.includes(result.rule ?? ""), shown);
      assert.ok(result.latencyMs !== null && result.latencyMs >= 0, shown);
      assert.ok(result.severity !== null, shown);
    }
    assert.equal(code, 0);
    assert.equal(corePattern(), pattern);
    assert.deepEqual(filesLeft(folder), []);
    assert.deepEqual(processesNaming(folder), []);
  });

  it("the table names what was not seen and why", async () => {
    const folder = temporaryDirectory("drill");
    const drill = startDrill(folder, ["--only", "ptrace-thread", "--only", "pidfd-getfd"]);
    assert.deepEqual(await drill.exited, { code: 0, signal: null });
    const text = drill.lines.items.join("\n");
    assert.match(text, /^technique .*sensor .*leaked$/m);
    assert.match(text, /^ptrace-thread +✔ +\S+ +[\d.]+ ms +rimon-attacker \(\d+\) +32 bytes$/m);
    assert.match(text, /^pidfd-getfd +✘ +32 bytes$/m);
    assert.match(text, /^1 of 2 techniques seen\nnot seen: pidfd-getfd \(no sensor sees them without eBPF\)$/m);
  });

  it("an unknown technique is a usage error", async () => {
    const drill = startDrill(temporaryDirectory("drill"), ["--only", "telepathy"]);
    assert.equal((await drill.exited).code, 2);
    assert.match(drill.stderr, /there is no technique "telepathy"/);
  });

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    it(`${signal} ends the drill and everything it started`, async () => {
      const folder = temporaryDirectory("drill");
      const drill = startDrill(folder, ["--json"]);
      await drill.takeLine(DEADLINE_MS);
      assert.ok(processesNaming(folder).length > 1);
      assert.equal((await drill.stop(signal)).code, code);
      assert.deepEqual(filesLeft(folder), []);
      assert.deepEqual(processesNaming(folder), []);
    });
  }

  it("killed outright, it leaves no process behind", async () => {
    const folder = temporaryDirectory("drill");
    const pattern = corePattern();
    const drill = startDrill(folder, ["--json"]);
    await drill.takeLine(DEADLINE_MS);
    await drill.stop("SIGKILL");
    await waitUntilGone(folder, DEADLINE_MS);
    assert.equal(corePattern(), pattern);
  });

  it("an ordinary user learns what cannot be seen, and for want of what", async () => {
    const folder = temporaryDirectory("drill");
    const drill = startDrill(
      folder,
      ["--json", "--only", "proc-mem", "--only", "core-pattern-write", "--only", "ld-preload"],
      NOBODY,
    );
    const { code } = await drill.exited;
    const results = resultsOf(drill);
    assert.equal(code, 0, drill.stderr);
    assert.equal(results.get("proc-mem")?.outcome, "blind");
    assert.match(results.get("proc-mem")?.reason ?? "", /fanotify is unavailable .*CAP_SYS_ADMIN/);
    assert.equal(results.get("core-pattern-write")?.outcome, "refused");
    assert.equal(results.get("ld-preload")?.detected, true);
    assert.deepEqual(filesLeft(folder), []);
  });
});

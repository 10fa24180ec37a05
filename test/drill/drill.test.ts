// The drill as a library, under this very process.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { drillExitCode, drillLatency, runDrill, type DrillOutcome, type DrillResult } from "../../src/drill/drill.ts";
import { TECHNIQUES } from "../../src/drill/techniques/all.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { filesLeft, processesNaming } from "./leftovers.ts";

const folder = temporaryDirectory("drill");
const before = process.env["TMPDIR"];
process.env["TMPDIR"] = folder;
after(() => {
  if (before === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = before;
});

function nothingIsLeft(): void {
  assert.deepEqual(processesNaming(folder), []);
  assert.deepEqual(filesLeft(folder), []);
}

test("every technique has a name of its own, rules and sensors", () => {
  assert.equal(new Set(TECHNIQUES.map(({ name }) => name)).size, TECHNIQUES.length);
  for (const { name, rules, expected } of TECHNIQUES) {
    assert.ok(rules.length > 0, name);
    assert.ok(expected.length > 0, name);
  }
});

test("one technique is attacked, seen, put down to its attacker, and nothing is left", async () => {
  const told: DrillResult[] = [];
  const { results, sensors } = await runDrill({ only: ["proc-mem"], onResult: (result) => told.push(result) });
  assert.equal(results.length, 1);
  const [result] = results;
  assert.deepEqual(told, results);
  assert.equal(result?.detected, true, result?.reason);
  assert.equal(result?.attributed, true);
  assert.equal(result?.suspect?.comm, "rimon-attacker");
  assert.equal(result?.leakedBytes, 32);
  assert.equal(sensors.find(({ name }) => name === "fanotify")?.state, "live");
  nothingIsLeft();
});

test("without techniques the sensors are started and looked at", async () => {
  const { results, sensors } = await runDrill({ only: [] });
  assert.deepEqual(results, []);
  assert.ok(sensors.some(({ name, state }) => name === "proc-connector" && state === "live"));
  nothingIsLeft();
});

test("an unknown technique is refused with the names there are", async () => {
  await assert.rejects(runDrill({ only: ["proc-mem", "telepathy"] }), {
    code: "RIMON_USAGE",
    message: /"telepathy"; expected one of .*process-vm-readv/,
  });
  nothingIsLeft();
});

test("an abort ends the decoys, the attackers and the monitor", async () => {
  for (const begun of ["starting the decoys", "starting the sensors", "ptrace-seize", "late-library"]) {
    const controller = new AbortController();
    const running = runDrill({
      only: ["proc-mem-held", "ptrace-attach", "ptrace-seize", "late-library"],
      signal: controller.signal,
      onProgress: (doing) => {
        if (doing.includes(begun)) controller.abort(new Error("enough"));
      },
    });
    await assert.rejects(running, { message: "enough" });
    nothingIsLeft();
  }
});

test("the percentiles are times that were measured, and of nothing there are none", () => {
  const of = (...times: (number | null)[]) => drillLatency(times.map((latencyMs) => ({ latencyMs }) as DrillResult));
  assert.equal(of(), undefined);
  assert.equal(of(null), undefined);
  assert.deepEqual(of(3), { techniques: 1, p50Ms: 3, p99Ms: 3 });
  assert.deepEqual(of(9, null, 1), { techniques: 2, p50Ms: 1, p99Ms: 9 });
  assert.deepEqual(of(5, 1, 3), { techniques: 3, p50Ms: 3, p99Ms: 5 });
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.deepEqual(of(...hundred), { techniques: 100, p50Ms: 50, p99Ms: 99 });
});

test("the exit code tells missed from impossible", () => {
  const of = (...outcomes: DrillOutcome[]): number =>
    drillExitCode(outcomes.map((outcome) => ({ outcome }) as DrillResult));
  assert.equal(of("seen", "blind", "not-run"), 0);
  assert.equal(of("seen", "missed"), 1);
  assert.equal(of("not-run", "refused"), 3);
});

// What mode enforce refuses, whom it spares, and what is said where it cannot.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Configuration, Exception } from "../../src/configuration.ts";
import { parseConfiguration } from "../../src/policy/config.ts";
import { exemptionsOf, nodeRefusalsOf, notRefused, refusalsOf, refusedRulesOf } from "../../src/policy/refusals.ts";

const NOW = Date.parse("2026-11-20T12:00:00Z");
const EXE = "/usr/bin/dumper";
const DIGEST = "ab".repeat(32);

function configured(text: string): Configuration {
  const context = { file: "policy.yaml", rules: ["memory-read"], severities: {}, hostname: "node-7", stateDirectory: "/", now: NOW }; // prettier-ignore
  return parseConfiguration(text, context).configuration;
}

const ENFORCED = configured(
  "mode: enforce\nenforce: [{ protect: 'comm:vault', operations: [memory-read, memory-read] }]",
);

test("only what is named is refused, and only in mode enforce", () => {
  const vault = { pid: 7, startTime: 70, parentPid: 1, comm: "vault", kernelThread: false };
  assert.deepEqual(refusalsOf(ENFORCED, vault), ["memory-read"]);
  assert.deepEqual(refusalsOf(ENFORCED, { ...vault, comm: "nginx" }), []);
  assert.deepEqual(refusalsOf(ENFORCED, undefined), []);
  assert.deepEqual(refusalsOf({ ...ENFORCED, mode: "monitor" }, vault), []);
  assert.deepEqual(refusedRulesOf(ENFORCED), ["memory-read"], "whether such a process runs or not");
  assert.deepEqual(refusedRulesOf({ ...ENFORCED, mode: "monitor" }), []);
});

const NODE = configured(
  "mode: enforce\nenforce: [{ operations: [core-pattern, core-pattern] }, { protect: 'comm:vault', operations: [memory-read] }]",
);

test("what concerns the node is refused to everybody on it, and on no process", () => {
  const vault = { pid: 7, startTime: 70, parentPid: 1, comm: "vault", kernelThread: false };
  assert.deepEqual(nodeRefusalsOf(NODE), ["core-pattern"]);
  assert.deepEqual(nodeRefusalsOf({ ...NODE, mode: "monitor" }), []);
  assert.deepEqual(nodeRefusalsOf(ENFORCED), []);
  assert.deepEqual(refusedRulesOf(NODE), ["memory-read"]);
  assert.deepEqual(refusalsOf(NODE, vault), ["memory-read"]);
  assert.deepEqual(refusalsOf(NODE, { ...vault, comm: "nginx" }), []);
  assert.equal(
    notRefused(NODE, (sensor) => sensor !== "sysctl"),
    "The mode is enforce, but this is told and not refused: core-pattern (the sensor sysctl is not live).",
  );
});

const EXCEPTIONS: readonly [what: string, exception: Partial<Exception>, spares: boolean][] = [
  ["exe and digest", { suspect: { exe: EXE, sha256: DIGEST.toUpperCase() } }, true],
  ["and an end to come", { suspect: { exe: EXE, sha256: DIGEST }, expires: "2026-11-20T12:00:01Z" }, true],
  ["and an end that came", { suspect: { exe: EXE, sha256: DIGEST }, expires: "2026-11-20T12:00:00Z" }, false],
  ["and an end that cannot be read", { suspect: { exe: EXE, sha256: DIGEST }, expires: "soon" }, false],
  ["no digest", { suspect: { exe: EXE } }, false],
  ["no exe", { suspect: { sha256: DIGEST } }, false],
  ["no suspect", {}, false],
  ["a uid, too", { suspect: { exe: EXE, sha256: DIGEST, uid: 0 } }, false],
  ["a comm, too", { suspect: { exe: EXE, sha256: DIGEST, comm: "dumper" } }, false],
  ["a parent, too", { suspect: { exe: EXE, sha256: DIGEST, parent: "cron" } }, false],
  ["a target, too", { suspect: { exe: EXE, sha256: DIGEST }, target: { by: "comm", value: "vault" } }, false],
  ["another rule", { rule: "environ-read", suspect: { exe: EXE, sha256: DIGEST } }, false],
];

for (const [what, exception, spares] of EXCEPTIONS) {
  test(`an exception with ${what} spares ${spares ? "that executable" : "nobody"} in the kernel`, () => {
    const exceptions = [{ rule: "memory-read", reason: "why", ...exception }];
    const expected = spares ? [{ exe: EXE, sha256: DIGEST }] : [];
    assert.deepEqual(exemptionsOf({ exceptions }, "memory-read", NOW), expected);
  });
}

test("what is wanted and cannot be is said", () => {
  const problem =
    "The mode is enforce, but this is told and not refused: memory-read (the sensor mmap-lock is not live).";
  assert.equal(
    notRefused(ENFORCED, (sensor) => sensor !== "mmap-lock"),
    problem,
  );
  assert.equal(
    notRefused(ENFORCED, () => true),
    undefined,
  );
  for (const quiet of [
    { ...ENFORCED, mode: "monitor" as const },
    { ...ENFORCED, enforce: [] },
  ])
    assert.equal(
      notRefused(quiet, () => false),
      undefined,
    );
});

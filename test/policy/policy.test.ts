import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import type { Configuration, Exception } from "../../src/configuration.ts";
import { ACTION_NAMES } from "../../src/configuration.ts";
import type { Actor, Finding, PlannedAction } from "../../src/finding.ts";
import { SEVERITIES } from "../../src/finding.ts";
import type { Process } from "../../src/observation.ts";
import { judge, ruleEnabled, severityOf } from "../../src/policy/policy.ts";
import type { JudgeFacts } from "../../src/policy/policy.ts";

const AT = Date.parse("2026-11-20T12:00:00Z");
const DIGEST = "ab".repeat(32);

const GDB: Actor = {
  pid: 9312,
  startTime: 500,
  comm: "gdb",
  exe: "/usr/bin/gdb",
  uid: 0,
  ancestry: [
    { pid: 9120, comm: "bash" },
    { pid: 877, comm: "sshd" },
  ],
};

const FINDING: Finding = {
  type: "finding",
  version: 1,
  id: "01JD",
  time: new Date(AT).toISOString(),
  node: "node-7",
  rule: "memory-read",
  severity: "critical",
  technique: "proc-mem",
  operation: "read",
  sensor: "files",
  suspect: GDB,
  target: { pid: 4121, startTime: 99, comm: "vault", exe: "/usr/bin/vault" },
  tenants: ["org-pharma"],
  message: "gdb read the memory of vault",
  count: 1,
  evidence: [],
};

const FACTS: JudgeFacts = {
  ownPid: 50,
  ancestors: new Set([40, 1]),
  isProtected: (pid, startTime) => pid === 4121 && startTime === 99,
  isKernelThread: (pid) => pid === 2,
  at: AT,
};

const DRIVER = { kind: "socket", path: "/run/s", timeoutMs: 1000 } as const;

const BASE: Configuration = {
  environment: "production",
  mode: "monitor",
  intervalMs: 1000,
  node: "node-7",
  protect: [],
  rules: {},
  respond: { critical: ["kill-suspect", "evict-tenant-keks", "capture", "rotate-master-key"], high: ["capture"] },
  exceptions: [],
  alerts: {
    clusterAdmins: [],
    minimumSeverity: "medium",
    groupMs: 60_000,
    spool: { directory: "/var/lib/rimon/spool", maxAlerts: 10_000 },
  },
  tenants: [],
  actions: {
    "rotate-master-key": { enabled: true, driver: DRIVER, cooldownMs: 60_000 },
    "evict-tenant-keks": { enabled: true, driver: DRIVER, cooldownMs: 60_000 },
    "kill-suspect": { enabled: true, scope: [{ by: "comm", value: "vault" }] },
    capture: { enabled: true, directory: "/var/lib/rimon/captures", keep: 100 },
  },
  audit: { path: "/a", keyFile: "/k", rotateBytes: 1024, checkpointEvery: 256 },
  enforce: [],
};

const EVERYTHING: PlannedAction[] = ["alert", ...ACTION_NAMES].map((action) => ({ action, allowed: true }));

test("actions are planned in the order of acting: alert, evidence, keys, force", () => {
  const verdict = judge(FINDING, BASE, FACTS);
  assert.deepEqual(verdict, { type: "verdict", version: 1, finding: FINDING, actions: EVERYTHING });
  assert.deepEqual(judge(FINDING, { ...BASE, mode: "enforce" }, FACTS), verdict);
});

test("mode off plans nothing", () => {
  const exceptions = [{ rule: "memory-read", reason: "r" }];
  assert.deepEqual(judge(FINDING, { ...BASE, mode: "off", exceptions }, FACTS), {
    type: "verdict",
    version: 1,
    finding: FINDING,
    actions: [],
  });
});

const PLANS: [name: string, finding: Partial<Finding>, configuration: Partial<Configuration>, actions: string[]][] = [
  ["by severity", { severity: "high" }, {}, ["alert", "capture"]],
  ["nothing is set for the severity", { severity: "medium" }, {}, ["alert"]],
  ["below the severity of alerts", { severity: "low" }, {}, []],
  ["below the severity of alerts, still answered", { severity: "low" }, { respond: { low: ["capture"] } }, ["capture"]],
  [
    "the rule's own answer replaces it",
    {},
    { rules: { "memory-read": { respond: ["capture"] } } },
    ["alert", "capture"],
  ],
  ["the rule's own answer may be none", {}, { rules: { "memory-read": { respond: [] } } }, ["alert"]],
  [
    "another rule's answer does not count",
    { severity: "high" },
    { rules: { x: { respond: [] } } },
    ["alert", "capture"],
  ],
  ["a rule named like an object's own", { rule: "constructor", severity: "high" }, {}, ["alert", "capture"]],
];

for (const [name, finding, configuration, actions] of PLANS) {
  test(`planned: ${name}`, () => {
    const verdict = judge({ ...FINDING, ...finding }, { ...BASE, ...configuration }, FACTS);
    assert.deepEqual(
      verdict.actions,
      actions.map((action) => ({ action, allowed: true })),
    );
  });
}

function withActions(actions: Partial<Configuration["actions"]>): Partial<Configuration> {
  return { actions: { ...BASE.actions, ...actions } };
}

function withSuspect(suspect: Partial<Actor>): Partial<Finding> {
  return { suspect: { ...GDB, ...suspect } };
}

const { suspect: _suspect, ...withoutSuspect } = FINDING;
const { target: _target, ...withoutTarget } = FINDING;
const OTHER_TARGET: Process = { pid: 4121, startTime: 99, parentPid: 1, comm: "nginx", kernelThread: false };
const KILL_OFF = { enabled: false, scope: [{ by: "comm", value: "vault" }] } as const;

const REFUSALS: {
  name: string;
  action: string;
  reason: string;
  finding?: Finding | Partial<Finding>;
  exactly?: Finding;
  configuration?: Partial<Configuration>;
  facts?: Partial<JudgeFacts>;
}[] = [
  {
    name: "capture off",
    action: "capture",
    reason: "capture is switched off",
    configuration: withActions({ capture: { ...BASE.actions.capture, enabled: false } }),
  },
  {
    name: "no driver",
    action: "rotate-master-key",
    reason: "rotate-master-key has no driver",
    configuration: withActions({ "rotate-master-key": { enabled: false, cooldownMs: 0 } }),
  },
  {
    name: "key action off",
    action: "evict-tenant-keks",
    reason: "evict-tenant-keks is switched off",
    configuration: withActions({ "evict-tenant-keks": { enabled: false, driver: DRIVER, cooldownMs: 0 } }),
  },
  {
    name: "kill off",
    action: "kill-suspect",
    reason: "kill-suspect is switched off",
    configuration: withActions({ "kill-suspect": KILL_OFF }),
  },
  { name: "no suspect", action: "kill-suspect", reason: "the suspect is not known", exactly: withoutSuspect },
  { name: "pid 0", action: "kill-suspect", reason: "0 is no process", finding: withSuspect({ pid: 0 }) },
  {
    name: "pid 1",
    action: "kill-suspect",
    reason: "the suspect is pid 1, which is never killed",
    finding: withSuspect({ pid: 1 }),
  },
  { name: "rimon", action: "kill-suspect", reason: "the suspect is rimon itself", finding: withSuspect({ pid: 50 }) },
  {
    name: "an ancestor",
    action: "kill-suspect",
    reason: "the suspect is an ancestor of rimon",
    finding: withSuspect({ pid: 40 }),
  },
  {
    name: "a kernel thread",
    action: "kill-suspect",
    reason: "the suspect is a kernel thread",
    finding: withSuspect({ pid: 2 }),
  },
  {
    name: "a protected process",
    action: "kill-suspect",
    reason: "the suspect is itself protected, and a protected process is never stopped",
    finding: withSuspect({ pid: 4121, startTime: 99 }),
  },
  {
    name: "an empty scope",
    action: "kill-suspect",
    reason: "the scope of kill-suspect is empty",
    configuration: withActions({ "kill-suspect": { enabled: true, scope: [] } }),
  },
  {
    name: "no target",
    action: "kill-suspect",
    reason: "the target is not known, so it is in no scope",
    exactly: withoutTarget,
  },
  {
    name: "a target out of scope",
    action: "kill-suspect",
    reason: "the target is outside of the scope of kill-suspect (comm:vault)",
    facts: { targetProcess: OTHER_TARGET },
  },
];

for (const { name, action, reason, finding, exactly, configuration, facts } of REFUSALS) {
  test(`refused: ${name}`, () => {
    const verdict = judge(exactly ?? { ...FINDING, ...finding }, { ...BASE, ...configuration }, { ...FACTS, ...facts });
    assert.deepEqual(
      verdict.actions,
      EVERYTHING.map((planned) => (planned.action === action ? { action, allowed: false, reason } : planned)),
    );
  });
}

test("a pid that was used again is not the protected process", () => {
  const verdict = judge({ ...FINDING, ...withSuspect({ pid: 4121, startTime: 100 }) }, BASE, FACTS);
  assert.deepEqual(verdict.actions.at(-1), { action: "kill-suspect", allowed: true });
});

const { uid: _uid, exe: _exe, ancestry: _ancestry, ...barelyKnown } = GDB;

const EXCEPTIONS: [
  name: string,
  exception: Partial<Exception>,
  matches: boolean,
  finding?: Finding,
  facts?: Partial<JudgeFacts>,
][] = [
  ["only the rule", {}, true],
  ["another rule", { rule: "ptrace-attach" }, false],
  ["the suspect's file", { suspect: { exe: "/usr/bin/gdb" } }, true],
  ["another file", { suspect: { exe: "/usr/bin/strace" } }, false],
  [
    "a file that was replaced",
    { suspect: { exe: "/usr/bin/gdb" } },
    false,
    { ...FINDING, ...withSuspect({ exe: "/usr/bin/gdb (deleted)" }) },
  ],
  ["the user", { suspect: { uid: 0 } }, true],
  ["another user", { suspect: { uid: 1 } }, false],
  ["the name", { suspect: { comm: "gdb" } }, true],
  ["another name", { suspect: { comm: "gdbserver" } }, false],
  ["the parent", { suspect: { parent: "bash" } }, true],
  ["the grandparent", { suspect: { parent: "sshd" } }, false],
  [
    "all of it",
    { suspect: { exe: "/usr/bin/gdb", sha256: DIGEST, uid: 0, comm: "gdb", parent: "bash" } },
    true,
    FINDING,
    { suspectSha256: DIGEST },
  ],
  ["all but one", { suspect: { exe: "/usr/bin/gdb", uid: 1, comm: "gdb" } }, false],
  ["another digest", { suspect: { sha256: DIGEST } }, false, FINDING, { suspectSha256: "cd".repeat(32) }],
  ["user not known", { suspect: { uid: 0 } }, false, { ...FINDING, suspect: barelyKnown }],
  ["file not known", { suspect: { exe: "/usr/bin/gdb" } }, false, { ...FINDING, suspect: barelyKnown }],
  ["parent not known", { suspect: { parent: "bash" } }, false, { ...FINDING, suspect: barelyKnown }],
  ["suspect not known", { suspect: { uid: 0 } }, false, withoutSuspect],
  ["suspect not asked for", {}, true, withoutSuspect],
  ["the target", { target: { by: "comm", value: "vault" } }, true],
  ["another target", { target: { by: "comm", value: "nginx" } }, false],
  [
    "the target as it is now known",
    { target: { by: "comm", value: "nginx" } },
    true,
    FINDING,
    { targetProcess: OTHER_TARGET },
  ],
  ["target not known", { target: { by: "comm", value: "vault" } }, false, withoutTarget],
  ["a fact of the target not known", { target: { by: "uid", value: "0" } }, false],
  ["still valid", { expires: "2026-11-20T12:00:00.001Z" }, true],
  ["the first instant it no longer holds", { expires: "2026-11-20T12:00:00.000Z" }, false],
  ["an end that cannot be read", { expires: "some day" }, false],
];

for (const [name, exception, matches, finding = FINDING, facts = {}] of EXCEPTIONS) {
  test(`exception ${matches ? "applies" : "does not apply"}: ${name}`, () => {
    const exceptions = [{ rule: "memory-read", reason: "on-call", ...exception }];
    const verdict = judge(finding, { ...BASE, exceptions }, { ...FACTS, ...facts });
    assert.equal(verdict.exception, matches ? "on-call" : undefined);
    assert.equal(verdict.actions.length === 0, matches);
    assert.equal(verdict.notes, undefined);
  });
}

test("an exception whose digest cannot be compared does not apply, and the verdict says so", () => {
  const unchecked = { rule: "memory-read", reason: "on-call", suspect: { sha256: DIGEST } };
  const verdict = judge(FINDING, { ...BASE, exceptions: [unchecked] }, FACTS);
  assert.deepEqual(verdict.actions, EVERYTHING);
  assert.deepEqual(verdict.notes, [
    `the exception "on-call" was not applied: the digest of the suspect's program is not known`,
  ]);
  const other = { rule: "memory-read", reason: "drill" };
  assert.equal(judge(FINDING, { ...BASE, exceptions: [unchecked, other] }, FACTS).exception, "drill");
});

test("a rule is on, and keeps its severity, unless it is configured", () => {
  const configuration = { ...BASE, rules: { a: { enabled: false }, b: { severity: "low" } } } as const;
  assert.equal(ruleEnabled("a", configuration), false);
  assert.equal(ruleEnabled("b", configuration), true);
  assert.equal(ruleEnabled("constructor", configuration), true);
  assert.equal(severityOf("b", "critical", configuration), "low");
  assert.equal(severityOf("a", "critical", configuration), "critical");
  assert.equal(severityOf("constructor", "high", configuration), "high");
});

test("force never meets pid 1, rimon, its ancestors, kernel threads, the protected, or what is out of scope", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60 }),
      fc.constantFrom("vault", "nginx"),
      fc.constantFrom(...SEVERITIES),
      fc.subarray(["vault", "nginx", "sshd"]),
      fc.constantFrom("monitor", "enforce", "off"),
      (pid, comm, severity, scope, mode) => {
        const finding: Finding = {
          ...FINDING,
          severity,
          suspect: { ...GDB, pid },
          target: { pid: 77, startTime: 1, comm },
        };
        const configuration: Configuration = {
          ...BASE,
          mode: mode as Configuration["mode"],
          respond: { ...BASE.respond, [severity]: ["kill-suspect"] },
          actions: {
            ...BASE.actions,
            "kill-suspect": { enabled: true, scope: scope.map((value) => ({ by: "comm", value })) },
          },
        };
        const facts = { ...FACTS, isProtected: (other: number) => other === 30 };
        const kill = judge(finding, configuration, facts).actions.find(({ action }) => action === "kill-suspect");
        const spared = pid <= 2 || pid === 30 || pid === 40 || pid === 50;
        assert.equal(kill?.allowed ?? false, mode !== "off" && !spared && scope.includes(comm));
      },
    ),
  );
});

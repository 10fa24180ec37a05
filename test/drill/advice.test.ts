import assert from "node:assert/strict";
import { test } from "node:test";
import { advise, judgeCorePattern, type Diagnosis } from "../../src/drill/advice.ts";
import { diagnoseSensors, diagnoseTechniques } from "../../src/drill/diagnosis.ts";
import type { DrillResult } from "../../src/drill/drill.ts";
import type { HostFacts } from "../../src/drill/host-facts.ts";
import { TECHNIQUES } from "../../src/drill/techniques/all.ts";
import type { SensorStatus } from "../../src/rimon.ts";

/** A node on which there is nothing to change. */
const HARDENED: HostFacts = {
  platform: "linux",
  arch: "x64",
  kernel: "6.12.0",
  node: "v20.19.0",
  uid: 0,
  capabilities: ["sys_admin", "net_admin", "sys_ptrace"],
  nodePids: true,
  nodeUsers: true,
  ptraceScope: 3,
  corePattern: "|/bin/false",
  suidDumpable: 0,
  fanotifyMaxQueuedEvents: 16_384,
  hidepid: "invisible",
  lockdown: "integrity",
  kptrRestrict: 1,
  unprivilegedBpfDisabled: 2,
  btf: true,
};

function changes(host: Partial<HostFacts>, rest: Partial<Diagnosis> = {}): string[] {
  const diagnosis = { host: { ...HARDENED, ...host }, sensors: [], techniques: [], ...rest };
  return advise(diagnosis).map(({ severity, about, change }) => `${severity} ${about}: ${change}`);
}

test("a hardened node gets no advice", () => {
  assert.deepEqual(changes({}), []);
});

const CASES: readonly (readonly [name: string, host: Partial<HostFacts>, expected: readonly RegExp[]])[] = [
  ["another system", { platform: "darwin", addon: "none" }, [/^critical platform: run rimon on the Linux node/]],
  ["no addon", { addon: "no addon for linux-x64" }, [/^critical addon: build it/]],
  ["ptrace_scope 0", { ptraceScope: 0 }, [/^medium ptraceScope: sysctl -w kernel\.yama\.ptrace_scope=2/]],
  ["ptrace_scope 2", { ptraceScope: 2 }, []],
  ["suid_dumpable 1", { suidDumpable: 1 }, [/^high suidDumpable: sysctl -w fs\.suid_dumpable=0/]],
  ["suid_dumpable 2", { suidDumpable: 2 }, [/^low suidDumpable/]],
  ["a program for dumps", { corePattern: "|/tmp/x %p" }, [/^high corePattern: sysctl/]],
  [
    "systemd-coredump",
    { corePattern: "|/usr/lib/systemd/systemd-coredump %P %u" },
    [/^medium corePattern: Storage=none/],
  ],
  ["a socket for dumps", { corePattern: "@/run/x.sock" }, [/^high corePattern/]],
  ["core files", { corePattern: "core" }, []],
  ["a short queue", { fanotifyMaxQueuedEvents: 100 }, [/^medium fanotifyMaxQueuedEvents: sysctl .*=16384/]],
  ["hidepid off", { hidepid: "off" }, [/^info hidepid: mount -o remount/]],
  ["hidden from rimon", { capabilities: [] }, [/^high hidepid: give rimon CAP_SYS_PTRACE/]],
  ["no lockdown", { lockdown: "none" }, [/^low lockdown: boot with lockdown=integrity/]],
  ["kptr_restrict 0", { kptrRestrict: 0 }, [/^low kptrRestrict/]],
  ["eBPF for everybody", { unprivilegedBpfDisabled: 0 }, [/^medium unprivilegedBpfDisabled/]],
  ["a container", { nodePids: false, nodeUsers: false }, [/^high nodePids: .*hostPID/, /^high nodeUsers: /]],
];

for (const [name, host, expected] of CASES) {
  test(`advice for: ${name}`, () => {
    const got = changes(host);
    assert.equal(got.length, expected.length, got.join("\n"));
    for (const [index, pattern] of expected.entries()) assert.match(got[index] ?? "", pattern);
  });
}

test("a fact that could not be read is no weakness, but for a kernel that lacks the thing", () => {
  const { platform, arch, kernel, node } = HARDENED;
  const diagnosis = { host: { platform, arch, kernel, node }, sensors: [], techniques: [] };
  assert.deepEqual(
    advise(diagnosis).map(({ about }) => about),
    ["ptraceScope", "lockdown"],
  );
});

test("core_pattern is judged by where it leads", () => {
  assert.equal(judgeCorePattern("core.%p").weak, false);
  assert.equal(judgeCorePattern("").weak, false);
  assert.equal(judgeCorePattern("|/usr/bin/true").weak, false);
  assert.equal(judgeCorePattern("|/bin/falsehood").weak, true);
  assert.equal(judgeCorePattern("|/usr/share/apport/apport %p").weak, true);
  assert.equal(judgeCorePattern("@@/run/dump.sock").weak, true);
});

const sensor = (name: string, needs: readonly string[], more: Partial<SensorStatus> = {}): SensorStatus => ({
  name,
  state: "live",
  sees: `what ${name} sees`,
  needs,
  ...more,
});

const seen = (technique: string, by: string): DrillResult => ({
  technique,
  outcome: "seen",
  detected: true,
  attributed: true,
  sensor: by,
  rule: "memory-read",
  severity: "critical",
  suspect: { pid: 2, comm: "x" },
  latencyMs: 1,
  leakedBytes: 32,
});

test("a sensor is proven by what it saw and by nothing else", () => {
  const statuses = [
    sensor("fanotify", ["sys_admin"]),
    sensor("proc-connector", ["net_admin"]),
    sensor("posture", ["sys_ptrace"]),
    sensor("settings", [], { state: "off" }),
    sensor("own-files", [], { state: "down", reason: "it broke" }),
  ];
  const sensors = diagnoseSensors(statuses, TECHNIQUES, [seen("proc-mem", "fanotify")], []);
  assert.deepEqual(
    sensors.map(({ health }) => health),
    ["proven", "attached but not proven", "attached but not proven", "off", "unavailable"],
  );
  assert.deepEqual(sensors[0]?.provenBy, ["proc-mem"]);
  assert.ok(sensors[0]?.blindWithout.includes("environ-read"));
  // What is attached without a capability did not need it; what reads /proc sees less without sys_ptrace.
  assert.deepEqual(
    sensors.map(({ missing }) => missing),
    [[], [], ["sys_ptrace"], [], []],
  );
  assert.match(sensors[2]?.reason ?? "", /own user/);
});

test("a missing capability is named with the sensors that want it", () => {
  const statuses = [
    sensor("fanotify", ["sys_admin"], { state: "unavailable", reason: "EPERM" }),
    sensor("posture", ["sys_ptrace"]),
    sensor("address-space", ["sys_ptrace"]),
  ];
  const sensors = diagnoseSensors(statuses, TECHNIQUES, [], []);
  const techniques = diagnoseTechniques(statuses, TECHNIQUES, []);
  const advice = advise({ host: { ...HARDENED, capabilities: [] }, sensors, techniques }).filter(
    ({ about }) => about === "capabilities",
  );
  assert.match(advice[0]?.problem ?? "", /without CAP_SYS_ADMIN, fanotify cannot be attached/);
  assert.match(advice[1]?.problem ?? "", /without CAP_SYS_PTRACE, posture, address-space see/);
});

test("a sensor that has its capabilities and still is not there asks for something else", () => {
  const statuses = [sensor("proc-connector", ["net_admin"], { state: "unavailable", reason: "EPROTONOSUPPORT" })];
  const sensors = diagnoseSensors(statuses, TECHNIQUES, [], ["net_admin"]);
  const [advice] = advise({ host: HARDENED, sensors, techniques: [] });
  assert.match(advice?.problem ?? "", /proc-connector cannot be attached: EPROTONOSUPPORT/);
  assert.match(advice?.change ?? "", /CONFIG_PROC_EVENTS=y/);
});

test("without a drill a technique has its rung but no proof", () => {
  const techniques = diagnoseTechniques([sensor("fanotify", [])], TECHNIQUES, []);
  const outcomeOf = (name: string) => techniques.find(({ technique }) => technique === name);
  assert.deepEqual([outcomeOf("proc-mem")?.rung, outcomeOf("proc-mem")?.outcome], ["fanotify", "unproven"]);
  assert.deepEqual([outcomeOf("ptrace-attach")?.rung, outcomeOf("ptrace-attach")?.outcome], [null, "blind"]);
  assert.equal(outcomeOf("process-vm-readv")?.needs, "eBPF");
});

test("what no sensor can see can still be forbidden", () => {
  const techniques = diagnoseTechniques([], TECHNIQUES, []);
  const advice = (ptraceScope: number) =>
    advise({ host: { ...HARDENED, ptraceScope }, sensors: [], techniques }).find(({ about }) => about === "technique");
  assert.match(advice(1)?.problem ?? "", /process-vm-readv, .*pidfd-getfd/);
  // kcmp asks for the right to read, which Yama does not touch; a signal and a probe by root ask for none.
  assert.doesNotMatch(advice(1)?.problem ?? "", /kcmp|sigusr1|uprobe|bpf/);
  assert.match(advice(1)?.change ?? "", /ptrace_scope=3/);
  assert.equal(advice(3), undefined);
});

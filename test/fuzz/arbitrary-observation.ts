// Random observations of a small node: few pids, so that they meet.

import fc from "fast-check";
import type { Observation, ObservationOf } from "../../src/observation.ts";

const pid = fc.integer({ min: 0, max: 6 });
const startTime = fc.constantFrom(10, 20);
const at = fc.integer({ min: 1_795_000_000_000, max: 1_795_000_200_000 });
const text = fc.constantFrom("", "vault", "gdb", "bash", "/usr/bin/gdb", "/tmp/x (deleted)", "3", "-p3", "\u001b[31m");
const file = fc.record({ dev: fc.constant(8), inode: fc.integer({ min: 1, max: 3 }) });
const version = fc.record({
  dev: fc.constant(8),
  inode: fc.integer({ min: 1, max: 3 }),
  size: fc.constant(1),
  mtimeNs: fc.constantFrom("1", "2"),
});
const address = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => value.toString(16));
const flag = fc.boolean();
const count = fc.integer({ min: 0, max: 2 ** 31 });

type Fields<Kind extends Observation["kind"]> = {
  [Name in keyof Omit<ObservationOf<Kind>, "kind" | "at" | "sensor">]: fc.Arbitrary<ObservationOf<Kind>[Name]>;
};

/** Fields named in `optional` are left out now and then. */
function kind<Kind extends Observation["kind"]>(
  name: Kind,
  fields: Fields<Kind>,
  optional: readonly string[] = [],
): fc.Arbitrary<Observation> {
  const model: Record<string, fc.Arbitrary<unknown>> = {
    kind: fc.constant(name),
    at,
    sensor: fc.constantFrom("a", "b"),
    ...fields,
  };
  const requiredKeys = Object.keys(model).filter((key) => !optional.includes(key));
  // As it comes out of a recording: plain objects.
  return fc.record(model, { requiredKeys }).map((value) => JSON.parse(JSON.stringify(value)) as Observation);
}

const PROCESS_NEEDS = ["pid", "startTime", "parentPid", "comm", "kernelThread"] as const;
const process = fc.record(
  {
    pid,
    startTime,
    parentPid: pid,
    comm: text,
    kernelThread: fc.constant(false),
    uid: count,
    euid: count,
    exe: text,
    exeFile: version,
    cmdline: fc.array(text, { maxLength: 4 }),
    cgroup: text,
    pidNamespace: fc.constantFrom(1, 2),
    namespacePids: fc.array(pid, { maxLength: 2 }),
  },
  { requiredKeys: [...PROCESS_NEEDS] },
);
const posture = fc.record(
  {
    coreLimit: fc.tuple(fc.constantFrom("0", "unlimited", "4096"), fc.constant("unlimited")),
    coredumpFilter: fc.integer({ min: 0, max: 0x1ff }),
    procOwner: fc.constantFrom(0, 991),
    loader: fc.array(
      fc.record({ name: fc.constantFrom("LD_PRELOAD", "LD_AUDIT"), paths: fc.array(text, { maxLength: 2 }) }),
      { maxLength: 2 },
    ),
    loaderCut: fc.constant(true),
    libraryPath: fc.constant(true),
  },
  { requiredKeys: [] },
);
const mappings = fc.array(
  fc.record({
    start: address,
    end: address,
    permissions: fc.constantFrom("r-xp", "rwxp"),
    offset: count,
    file,
    path: fc.constantFrom("", "/usr/lib/a.so", "/tmp/b.so", "[vdso]"),
  }),
  { maxLength: 3 },
);
const bytes = fc.constantFrom("", "cc", "e910203040", "55", "f30f1efa55");
const changes = fc.array(
  fc.record(
    {
      address,
      offset: count,
      length: fc.integer({ min: 1, max: 4096 }),
      found: bytes,
      expected: bytes,
      place: fc.record({ name: fc.constantFrom("EVP_DecryptUpdate", ".text", "\u001b[31m"), offset: count }),
    },
    { requiredKeys: ["address", "offset", "length", "found", "expected"] },
  ),
  { maxLength: 4 },
);
const traits = fc.record({
  imports: fc.subarray(["ptrace", "process_vm_readv", "read"]),
  needed: fc.subarray(["liblldb.so"]),
  marks: fc.subarray(["gdb"]),
});

export const arbitraryObservation: fc.Arbitrary<Observation> = fc.oneof(
  kind("process.seen", { process: process as fc.Arbitrary<ObservationOf<"process.seen">["process"]>, by: fc.constantFrom("scan", "exec", "act") }), // prettier-ignore
  kind("unlinked.executed", {
    pid,
    startTime,
    name: fc.constantFrom("memfd:x", "implant", "memfd:runc_cloned:/proc/self/exe"),
  }),
  kind("upper.executed", { pid, startTime, name: text }),
  kind("process.forked", { pid, parentPid: pid }),
  kind("process.exited", { pid, startTime, exitCode: count, signal: fc.constantFrom(0, 9, 11), dumped: flag }, ["startTime", "exitCode", "signal", "dumped"]), // prettier-ignore
  kind("ptrace.attached", { pid, tid: pid, tracerPid: pid, startTime }, ["startTime"]),
  kind("ptrace.detached", { pid, tid: pid }),
  kind("procfs.accessed", {
    file: fc.constantFrom("mem", "environ", "maps", "pagemap", "coredump_filter"),
    access: fc.constantFrom("open", "read", "write", "held"),
    pid, targetPid: pid, targetStartTime: startTime, targetTid: pid, path: text, ownMount: flag,
  }, ["targetPid", "targetStartTime", "targetTid"]), // prettier-ignore
  kind("memory.touched", {
    pid, startTime, byPid: pid, byTid: pid, suppressed: count, byExeFile: fc.record({ dev: count, inode: count }),
    operation: fc.constantFrom("vm-read", "mem-write", "environ", "pagemap", "uprobe", "unknown"),
    action: fc.constantFrom("seen", "killed", "not-killed", "asleep"),
  }, ["byExeFile"]), // prettier-ignore
  kind("access.checked", {
    pid, startTime, tid: pid, byPid: pid, byTid: pid, suppressed: count, attach: flag,
    call: fc.constantFrom("ptrace", "vm-read", "open", "pidfd-getfd", "kcmp", "setns", "other"),
    action: fc.constantFrom("seen", "refused", "asleep"),
  }), // prettier-ignore
  kind("call.made", {
    pid, tid: pid, startTime, byPid: pid, byTid: pid, suppressed: count,
    call: fc.constantFrom("attach", "vm-read", "getfd", "compare", "core-limit", "tracer", "bpf-load"),
    argument: fc.constantFrom("0", "7", "18446744073709551615"),
  }, ["pid", "tid", "startTime", "argument"]), // prettier-ignore
  kind("signal.sent", { pid, startTime, byPid: pid, byTid: pid, suppressed: count, signal: fc.constantFrom(3, 10, 19) }, ["byPid", "byTid"]), // prettier-ignore
  kind("machine-memory.opened", {
    memory: fc.constantFrom("kcore", "device"), access: fc.constantFrom("open", "read", "write"), pid, tid: pid,
    path: text, action: fc.constantFrom("seen", "refused", "asleep"), suppressed: count,
  }, ["tid", "path"]), // prettier-ignore
  kind("sysctl.written", {
    name: fc.constantFrom("kernel.core_pattern", "vm.swappiness"), pid, value: text, suppressed: count,
    action: fc.constantFrom("seen", "refused", "asleep"),
  }, ["action", "value", "suppressed"]), // prettier-ignore
  kind("setting.seen", { setting: fc.constantFrom("kernel.core_pattern", "/etc/ld.so.preload"), value: text }, ["value"]), // prettier-ignore
  kind("process.dumping", { pid, tid: pid }),
  kind("posture.seen", { pid, startTime, posture: posture as fc.Arbitrary<ObservationOf<"posture.seen">["posture"]> }),
  kind("maps.seen", { pid, startTime, digest: text, mappings }),
  kind("code-page.seen", {
    pid, startTime, page: address, size: fc.constant(4096), permissions: fc.constantFrom("r-xp", "rwxp"), path: text,
    file, offset: count, differing: count,
    changes: changes as fc.Arbitrary<NonNullable<ObservationOf<"code-page.seen">["changes"]>>,
    machine: fc.constantFrom("x86", "x86-64", "arm64"),
  }, ["differing", "changes", "machine"]), // prettier-ignore
  kind("baseline.refused", {
    of: fc.constantFrom("isolation", "files", "executables"), path: text, code: text, message: text, using: fc.constantFrom("last-good", "none"),
  }), // prettier-ignore
  kind("isolation.changed", {
    subsystem: fc.constantFrom("seccomp", "memory-maps"), change: fc.constantFrom("changed", "malformed", "gone"),
    pid, startTime, message: text,
    changes: fc.array(fc.record({ fact: text, expected: text, actual: text, impossible: text, verdict: fc.constantFrom("one-bit fault in memory", "patched in memory", "corrupt page cache", "file changed on disk") }, { requiredKeys: ["fact"] }), { maxLength: 3 }),
    evidence: fc.array(fc.record({ text, expected: text, actual: text }, { requiredKeys: ["text"] }), { maxLength: 2 }),
  }, ["pid", "startTime"]), // prettier-ignore
  kind("file.touched", {
    change: fc.constantFrom("created", "removed", "written", "attributes", "moved"),
    did: fc.array(fc.constantFrom("created", "removed", "written"), { maxLength: 3 }),
    path: text, pathHex: fc.constant("2fff"), from: text, folder: flag, container: text, crossed: fc.constantFrom("out", "in"),
    pid, startTime, unnamed: text, count, asBefore: flag,
    files: fc.record({ count, names: fc.array(text, { maxLength: 3 }) }),
  }, ["did", "pathHex", "from", "container", "crossed", "pid", "startTime", "unnamed", "files", "asBefore"]), // prettier-ignore
  kind("packages.changed", {
    database: fc.constant("dpkg"), pid, startTime, manager: text, files: count, verified: count, owned: count,
    packages: fc.array(text, { maxLength: 3 }), differing: fc.array(text, { maxLength: 3 }), differingCount: count,
    strange: fc.array(text, { maxLength: 3 }), strangeCount: count,
  }, ["database"]), // prettier-ignore
  kind("file.changed", {
    change: fc.constantFrom("added", "removed", "changed", "moved", "unreadable", "unstable"), path: text,
    pathHex: fc.constantFrom("", "2fff"), from: text, fileType: fc.constantFrom("file", "folder"), mode: text,
    attributes: fc.array(fc.record({ attribute: text, before: text, after: text }, { requiredKeys: ["attribute"] }), { maxLength: 3 }),
    group: fc.constantFrom("immutable", "config", "odd"), rule: text, sha256: fc.constant("00ff"), reason: text,
    actor: fc.record({ pid, startTime: count, comm: text, exe: text }, { requiredKeys: ["pid"] }),
  }, ["pathHex", "from", "fileType", "mode", "rule", "sha256", "reason", "actor"]), // prettier-ignore
  kind("exec.judged", {
    pid, startTime, uid: pid, mode: fc.constantFrom("learn", "audit", "enforce"),
    reason: fc.constantFrom("rule", "written-to", "deadline", "too-large", "unreadable", "no-lease", "busy", "unmarked"),
    rule: text, denied: flag, opened: flag, path: text, by: text, sha256: text, error: text,
    file: fc.record({ dev: count, inode: count, size: count, owner: pid }),
  }, ["pid", "startTime", "rule", "sha256", "error"]), // prettier-ignore
  kind("gate.gap", { since: count, mode: fc.constantFrom("learn", "audit", "enforce"), orderly: flag }),
  kind("uprobe.seen", {
    pid, startTime, path: text, file, count, name: text, byPid: pid, byStartTime: count,
    probes: fc.array(fc.record({ offset: count, returns: flag }), { maxLength: 3 }),
    by: fc.constantFrom("perf", "link", "event"),
  }, ["name", "byPid", "byStartTime"]), // prettier-ignore
  kind("key-file.held", { pid, startTime, path: text }),
  kind("executable.identified", { file: version, path: text, traits, sha256: text, changedNs: text }, [
    "sha256",
    "changedNs",
  ]),
  kind("own-file.changed", { path: text, role: fc.constantFrom("audit", "key"), change: fc.constantFrom("mode", "written"), pid }, ["pid"]), // prettier-ignore
  kind("procfs.mounted", { path: text, dev: count, mountNamespace: count, marked: flag, reason: text }, ["mountNamespace", "reason"]), // prettier-ignore
  kind("sensor.state", { state: fc.constantFrom("live", "down", "degraded"), reason: text }, ["reason"]),
  kind("sensor.lost", { count, reason: text }, ["count"]),
  kind("self.troubled", {
    part: fc.constantFrom("audit", "spool", "enforce", "recording", "output", "pass"),
    message: text,
    recovered: flag,
  }),
  kind("tick", {}),
);

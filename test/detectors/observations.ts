// Observations as sensors make them, with everything beside the point filled in, and a node to show them to.

import type { Detection } from "../../src/finding.ts";
import type {
  Call,
  CodeChange,
  ExecutableTraits,
  FileId,
  FileVersion,
  Machine,
  Mapping,
  MemoryOperation,
  Observation,
  ObservationOf,
  Posture,
  ProcFile,
  Process,
} from "../../src/observation.ts";
import type { Detector } from "../../src/detectors/detector.ts";
import { State } from "../../src/state.ts";

/** 2026-11-18T11:06:40Z. */
export const AT = 1_795_000_000_000;

type Rest<Kind extends Observation["kind"]> = Partial<Omit<ObservationOf<Kind>, "kind">>;

export function aProcess(pid: number, fields: Partial<Process> = {}): Process {
  return {
    pid,
    startTime: pid * 10,
    parentPid: 1,
    comm: "vault",
    kernelThread: false,
    uid: 0,
    euid: 0,
    ...fields,
  };
}

export function seen(process: Process, rest: Rest<"process.seen"> = {}): ObservationOf<"process.seen"> {
  return { kind: "process.seen", at: AT, sensor: "process-table", by: "scan", ...rest, process };
}

export function executable(exe: string, inode: number): Pick<Process, "exe" | "exeFile"> {
  return { exe, exeFile: { dev: 8, inode, size: 1, mtimeNs: "1" } };
}

export function forked(pid: number, parentPid: number): ObservationOf<"process.forked"> {
  return { kind: "process.forked", at: AT, sensor: "proc-connector", pid, parentPid };
}

export function exited(pid: number, rest: Rest<"process.exited"> = {}): ObservationOf<"process.exited"> {
  return { kind: "process.exited", at: AT, sensor: "proc-connector", pid, ...rest };
}

export function attached(pid: number, tracerPid: number, tid = pid): ObservationOf<"ptrace.attached"> {
  return { kind: "ptrace.attached", at: AT, sensor: "proc-connector", pid, tid, tracerPid };
}

export function accessed(
  file: ProcFile,
  pid: number,
  targetPid: number | undefined,
  rest: Rest<"procfs.accessed"> = {},
): ObservationOf<"procfs.accessed"> {
  return {
    kind: "procfs.accessed",
    at: AT,
    sensor: "fanotify",
    file,
    access: "open",
    pid,
    ...(targetPid === undefined ? {} : { targetPid }),
    path: `/proc/${targetPid ?? 7}/${file}`,
    ownMount: true,
    ...rest,
  };
}

export function touched(
  operation: MemoryOperation,
  rest: Rest<"memory.touched"> = {},
  byPid = 93,
  pid = 41,
): ObservationOf<"memory.touched"> {
  const head = { kind: "memory.touched", at: AT, sensor: "mmap-lock" } as const;
  return { ...head, operation, pid, startTime: pid * 10, byPid, byTid: byPid, action: "seen", suppressed: 0, ...rest };
}

export function called(
  call: Call,
  byPid: number,
  pid: number | undefined,
  rest: Rest<"call.made"> = {},
): ObservationOf<"call.made"> {
  const target = pid === undefined ? {} : { pid, tid: pid, startTime: pid * 10 };
  return { kind: "call.made", at: AT, sensor: "calls", call, ...target, byPid, byTid: byPid, suppressed: 0, ...rest };
}

export function signalled(
  signal: number,
  byPid: number | undefined,
  pid: number,
  rest: Rest<"signal.sent"> = {},
): ObservationOf<"signal.sent"> {
  const head = { kind: "signal.sent", at: AT, sensor: "signals" } as const;
  const by = byPid === undefined ? {} : { byPid, byTid: byPid };
  return { ...head, signal, pid, startTime: pid * 10, ...by, suppressed: 0, ...rest };
}

export function identified(
  file: FileId & Partial<FileVersion>,
  traits: Partial<ExecutableTraits>,
  rest: Rest<"executable.identified"> = {},
): ObservationOf<"executable.identified"> {
  return {
    kind: "executable.identified",
    at: AT,
    sensor: "executables",
    path: "/tmp/x",
    ...rest,
    file: { size: 1, mtimeNs: "1", ...file },
    traits: { imports: [], needed: [], marks: [], ...traits },
  };
}

export function dumping(pid: number): ObservationOf<"process.dumping"> {
  return { kind: "process.dumping", at: AT, sensor: "proc-connector", pid, tid: pid };
}

export function written(name: string, pid: number, at = AT): ObservationOf<"sysctl.written"> {
  return { kind: "sysctl.written", at, sensor: "fanotify", name, pid };
}

export function setting(
  setting: ObservationOf<"setting.seen">["setting"],
  value: string | undefined,
  at = AT,
): ObservationOf<"setting.seen"> {
  return { kind: "setting.seen", at, sensor: "settings", setting, ...(value === undefined ? {} : { value }) };
}

export function posture(pid: number, posture: Posture): ObservationOf<"posture.seen"> {
  return { kind: "posture.seen", at: AT, sensor: "posture", pid, startTime: pid * 10, posture };
}

export function mapping(path: string, fields: Partial<Mapping> = {}): Mapping {
  return {
    start: "7f0000000000",
    end: "7f0000001000",
    permissions: "r-xp",
    offset: 0,
    file: path === "" ? { dev: 0, inode: 0 } : { dev: 8, inode: 100 + path.length },
    path,
    ...fields,
  };
}

export function mapped(pid: number, mappings: readonly Mapping[], at = AT): ObservationOf<"maps.seen"> {
  const digest = String(mappings.length);
  return { kind: "maps.seen", at, sensor: "address-space", pid, startTime: pid * 10, digest, mappings };
}

/** A page of libcrypto; without changes one that could not be compared. */
export function codePage(
  pid: number,
  changes: readonly CodeChange[] | undefined,
  rest: Rest<"code-page.seen"> = {},
  /** None if it is not known whose instructions they are. */
  [machine]: readonly Machine[] = ["x86-64"],
): ObservationOf<"code-page.seen"> {
  return {
    kind: "code-page.seen",
    at: AT,
    sensor: "code-pages",
    pid,
    startTime: pid * 10,
    page: "7f0000003000",
    size: 4096,
    permissions: "r-xp",
    path: "/usr/lib/libcrypto.so.3",
    file: { dev: 8, inode: 77 },
    offset: 0x2000,
    ...(changes === undefined ? {} : { changes, differing: changes.reduce((sum, { length }) => sum + length, 0) }),
    ...(machine === undefined ? {} : { machine }),
    ...rest,
  };
}

/** Bytes at the beginning of EVP_DecryptUpdate. */
export function probed(rest: Rest<"uprobe.seen"> = {}): ObservationOf<"uprobe.seen"> {
  return {
    kind: "uprobe.seen",
    at: AT,
    sensor: "uprobes",
    pid: 41,
    startTime: 410,
    path: "/usr/lib/libcrypto.so.3",
    file: { dev: 8, inode: 77 },
    probes: [{ offset: 0x2000, place: { name: "EVP_DecryptUpdate", offset: 0 }, returns: false }],
    count: 1,
    by: "perf",
    ...rest,
  };
}

export function codeChange(found: string, expected: string, fields: Partial<CodeChange> = {}): CodeChange {
  const place = { name: "EVP_DecryptUpdate", offset: 0 };
  return { address: "7f0000003010", offset: 0x2010, length: found.length / 2, found, expected, place, ...fields };
}

export function tick(at: number): ObservationOf<"tick"> {
  return { kind: "tick", at, sensor: "rimon" };
}

/** Every process called vault, as long as it is not a renamed something else, is protected. */
export function nodeWith(observations: readonly Observation[]): State {
  const state = new State(({ comm }) => (comm === "vault" ? "comm:vault" : undefined));
  for (const observation of observations) state.apply(observation);
  return state;
}

/** What the rule says to the last observation. */
export function detect(
  detector: Detector,
  observations: readonly Observation[],
  allow: readonly string[] = [],
): Detection | undefined {
  const last = observations.at(-1);
  if (last === undefined) return undefined;
  return detector.detect(last, nodeWith(observations), { allow });
}

/** The severity a detection ends up with, and its sentence: "critical: gdb (9) ...". */
export function told(
  detector: Detector,
  observations: readonly Observation[],
  allow?: readonly string[],
): string | undefined {
  const found = detect(detector, observations, allow);
  return found && `${found.severity ?? detector.severity}: ${found.message}`;
}

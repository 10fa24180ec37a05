// The way from an observation to a verdict, gone before it matters: Node compiles a function when it is first called, and
// the first finding of a node may be its only one. Measured with Node 20: 2 ms for the first one without, 0.3 ms with.

import { createAnalysis } from "./analysis.ts";
import type { Configuration } from "./configuration.ts";
import type { CodePage, FileVersion, Observation, Process } from "./observation.ts";

/** Some 15 ms in all; ten times as many gain nothing that can be measured. */
const ROUNDS = 16;
/** Above the kernel's greatest pid, 2^22. */
const SELF = 1 << 23;
const LIBRARY = "/rehearsal.so";
const PAGE = 4096;

/** Judges acts of nobody on nobody in an analysis of its own, of which nothing is told; how many verdicts came of them. */
export function rehearse(configuration: Configuration, newId: (at: number) => string): number {
  const analysis = createAnalysis(configuration, { pid: SELF, ancestors: new Set() }, newId);
  let verdicts = analysis.absorb(seen(processOf(SELF), 0)).length;
  for (let round = 1; round <= ROUNDS; round++) {
    for (const observation of actsOf(SELF + round, round)) verdicts += analysis.absorb(observation).length;
  }
  return verdicts;
}

function actsOf(pid: number, at: number): readonly Observation[] {
  const onTarget = { pid: SELF, startTime: SELF } as const;
  const by = { byPid: pid, byTid: pid, suppressed: 0 } as const;
  return [
    seen(processOf(pid), at),
    { kind: "ptrace.attached", at, sensor: "proc-connector", ...onTarget, tid: SELF, tracerPid: pid },
    {
      kind: "procfs.accessed",
      at,
      sensor: "fanotify",
      file: "mem",
      access: "open",
      pid,
      targetPid: SELF,
      path: `/proc/${SELF}/mem`,
      ownMount: true,
    },
    { kind: "memory.touched", at, sensor: "mmap-lock", ...onTarget, operation: "vm-read", ...by, action: "seen" },
    { kind: "call.made", at, sensor: "calls", call: "getfd", ...onTarget, tid: SELF, ...by },
    { kind: "signal.sent", at, sensor: "signals", signal: 3, ...onTarget, ...by },
    { kind: "sysctl.written", at, sensor: "fanotify", name: "kernel.core_pattern", pid },
    {
      kind: "posture.seen",
      at,
      sensor: "exec",
      ...onTarget,
      posture: { loader: [{ name: "LD_PRELOAD", paths: [LIBRARY] }] },
    },
    { kind: "unlinked.executed", at, sensor: "exec", ...onTarget, name: "memfd:rehearsal" },
    { kind: "upper.executed", at, sensor: "exec", ...onTarget, name: "rehearsal" },
    { kind: "code-page.seen", at, sensor: "code-pages", ...onTarget, ...pageOf(at), machine: "x86-64" },
    {
      kind: "executable.identified",
      at,
      sensor: "executables",
      file: fileOf(pid),
      path: `/${pid}`,
      traits: { imports: ["ptrace"], needed: [], marks: ["gdb"] },
    },
    {
      kind: "file.changed",
      at,
      sensor: "file-events",
      change: "changed",
      path: LIBRARY,
      fileType: "file",
      mode: "644",
      attributes: [{ attribute: "sha256", before: "00", after: "ff" }],
      group: "immutable",
      actor: { pid, startTime: pid },
    },
    { kind: "process.exited", at, sensor: "proc-connector", pid },
  ];
}

/** One byte of one function is a breakpoint, each time of another page. */
function pageOf(number: number): CodePage {
  const [found, expected] = ["cc", "55"];
  const offset = number * PAGE;
  const place = { name: "rehearsal", offset: 0 };
  return {
    page: offset.toString(16),
    size: PAGE,
    permissions: "r-xp",
    path: LIBRARY,
    file: { dev: 1, inode: 1 },
    offset,
    differing: 1,
    changes: [{ address: offset.toString(16), offset, length: 1, found, expected, place }],
  };
}

function fileOf(pid: number): FileVersion {
  return { dev: 1, inode: pid, size: 1, mtimeNs: "1" };
}

function processOf(pid: number): Process {
  const comm = "rehearsal";
  return {
    pid,
    startTime: pid,
    parentPid: 1,
    comm,
    kernelThread: false,
    uid: 0,
    euid: 0,
    exe: `/${pid}`,
    exeFile: fileOf(pid),
    cmdline: [comm],
  };
}

function seen(process: Process, at: number): Observation {
  return { kind: "process.seen", at, sensor: "process-table", by: "exec", process };
}

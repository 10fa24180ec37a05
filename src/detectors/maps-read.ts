import type { MemoryOperation, Observation, ProcFile } from "../observation.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";
import { isOrdinaryReader } from "./ordinary-readers.ts";

const LAYOUT_FILES: ReadonlySet<ProcFile> = new Set([
  "maps",
  "smaps",
  "pagemap",
  "map_files",
  "auxv",
  "stack",
  "syscall",
]);

/** What the kernel takes the lock of the memory for. */
const LAYOUT_OPERATIONS: Readonly<Partial<Record<MemoryOperation, ProcFile>>> = {
  maps: "smaps",
  pagemap: "pagemap",
  "map-files": "map_files",
};

export const mapsRead: Detector = {
  rule: "maps-read",
  severity: "low",
  summary: "A process that is no ordinary reader looked up where the memory of a protected process lies.",
  guide: {
    means:
      "maps, smaps, pagemap, map_files, auxv, stack and syscall of /proc/PID tell where a process keeps what. By itself that gives no key; it is the step before reading one.",
    fires:
      "The fanotify mark on procfs reported the opening, or an eBPF program the reading by any mount or descriptor, and the program is not one of the usual readers in its usual folder. kcmp(2), which compares what two processes share, is told likewise. pagemap is medium, since it also shows physical pages to root.",
    attacker:
      "Every dumper begins with /proc/PID/maps. Look for a memory-read or ptrace-attach by the same suspect within the second.",
    todo: "Look at the suspect. Alone it is a hint; with a memory-read it is the attack.",
    harmless: "A profiler or an agent rimon does not know. Add an exception for its executable.",
    attack: [
      { id: "T1057", name: "Process Discovery" },
      { id: "T1003.007", name: "OS Credential Dumping: Proc Filesystem" },
    ],
  },
  detect(observation, state) {
    const look = lookOf(observation);
    if (look === undefined) return;
    const { did, file, pid, targetPid, targetStartTime } = look;
    if (targetPid === undefined || targetPid === pid || !state.isProtected(targetPid, targetStartTime)) return;
    if (isOrdinaryReader(state.find(pid)?.process)) return;
    return {
      rule: this.rule,
      ...(file === "pagemap" ? { severity: "medium" as const } : {}),
      technique: "maps-read",
      operation: "read",
      suspect: subjectOf(state, pid),
      target: subjectOf(state, targetPid, targetStartTime),
      subject: file,
      message: `${nameOf(state, pid)} ${did} of ${nameOf(state, targetPid, targetStartTime)}`,
      evidence: [observation],
    };
  },
};

interface Look {
  /** Stands before "of Y". */
  readonly did: string;
  readonly file: ProcFile | "kcmp";
  readonly pid: number;
  readonly targetPid: number | undefined;
  readonly targetStartTime: number | undefined;
}

function lookOf(observation: Observation): Look | undefined {
  if (observation.kind === "procfs.accessed") {
    const { file, pid, targetPid, targetStartTime } = observation;
    return LAYOUT_FILES.has(file) ? { did: `opened ${file}`, file, pid, targetPid, targetStartTime } : undefined;
  }
  if (observation.kind === "call.made") {
    const { call, byPid, pid, startTime } = observation;
    if (call !== "compare") return undefined;
    return { did: "compared resources (kcmp)", file: "kcmp", pid: byPid, targetPid: pid, targetStartTime: startTime };
  }
  if (observation.kind !== "memory.touched") return undefined;
  const file = LAYOUT_OPERATIONS[observation.operation];
  const { byPid, pid, startTime } = observation;
  return file && { did: `read ${file}`, file, pid: byPid, targetPid: pid, targetStartTime: startTime };
}

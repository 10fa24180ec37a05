import type { ProcFile } from "../observation.ts";
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

export const mapsRead: Detector = {
  rule: "maps-read",
  severity: "low",
  summary: "A process that is no ordinary reader looked up where the memory of a protected process lies.",
  guide: {
    means:
      "maps, smaps, pagemap, map_files, auxv, stack and syscall of /proc/PID tell where a process keeps what. By itself that gives no key; it is the step before reading one.",
    fires:
      "The fanotify mark on procfs reported the opening, and the program is not one of the usual readers in its usual folder. pagemap is medium, since it also shows physical pages to root.",
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
    if (observation.kind !== "procfs.accessed" || !LAYOUT_FILES.has(observation.file)) return;
    const { file, pid, targetPid, targetStartTime } = observation;
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
      message: `${nameOf(state, pid)} opened ${file} of ${nameOf(state, targetPid, targetStartTime)}`,
      evidence: [observation],
    };
  },
};

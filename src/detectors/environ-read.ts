import type { Observation } from "../observation.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";
import { isOrdinaryReader } from "./ordinary-readers.ts";

export const environRead: Detector = {
  rule: "environ-read",
  severity: "medium",
  summary: "A process that is no ordinary reader read the environment of a protected process.",
  guide: {
    means:
      "/proc/PID/environ holds the environment a process was started with: tokens and passwords often stand there in clear.",
    fires:
      "The fanotify mark on procfs reported the opening, or an eBPF program the reading by any mount or descriptor, and the program is not one of the usual readers (ps, top, systemd, container runtimes, monitoring agents) in its usual folder.",
    attacker: "cat /proc/PID/environ, or a script that does so for every process.",
    todo: "Find out who ran it. If secrets stand in that environment, treat them as read and change them; then move them to files or a keyring.",
    harmless: "A monitoring agent rimon does not know. Add an exception for its executable.",
    attack: [
      { id: "T1552", name: "Unsecured Credentials" },
      { id: "T1003.007", name: "OS Credential Dumping: Proc Filesystem" },
    ],
  },
  detect(observation, state) {
    const read = readOf(observation);
    if (read === undefined) return;
    const { did, pid, targetPid, targetStartTime } = read;
    if (targetPid === undefined || targetPid === pid || !state.isProtected(targetPid, targetStartTime)) return;
    if (isOrdinaryReader(state.find(pid)?.process)) return;
    return {
      rule: this.rule,
      technique: "environ-read",
      operation: "read",
      suspect: subjectOf(state, pid),
      target: subjectOf(state, targetPid, targetStartTime),
      message: `${nameOf(state, pid)} ${did} the environment of ${nameOf(state, targetPid, targetStartTime)}`,
      evidence: [observation],
    };
  },
};

interface Read {
  readonly did: "opened" | "read";
  readonly pid: number;
  readonly targetPid: number | undefined;
  readonly targetStartTime: number | undefined;
}

function readOf(observation: Observation): Read | undefined {
  if (observation.kind === "procfs.accessed" && observation.file === "environ") {
    const { pid, targetPid, targetStartTime } = observation;
    return { did: "opened", pid, targetPid, targetStartTime };
  }
  if (observation.kind !== "memory.touched" || observation.operation !== "environ") return undefined;
  return { did: "read", pid: observation.byPid, targetPid: observation.pid, targetStartTime: observation.startTime };
}

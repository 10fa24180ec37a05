import { nameOf, senderOf, subjectOf, suspectOf, type Detector } from "./detector.ts";

const SIGSTOP = 19;

export const processStopped: Detector = {
  rule: "process-stopped",
  severity: "medium",
  summary: "A process stopped a protected process with SIGSTOP.",
  guide: {
    means:
      "A stopped process does nothing until somebody lets it go on: it serves nobody, and its memory holds still for whoever reads it. rimon stopped this way sees nothing meanwhile.",
    fires:
      "An eBPF program saw SIGSTOP being sent by another process, or by a descriptor that one has set to send it. That ptrace stops a process is told by ptrace-attach.",
    attacker: "kill -STOP PID before copying its memory, or on the monitor before anything else.",
    todo: "Look at the sender and at what else it did. kill -CONT lets the process go on.",
    harmless:
      "Supervisors and snapshot scripts that freeze a database, cpulimit. Add an exception for that executable.",
    attack: [
      { id: "T1489", name: "Service Stop" },
      { id: "T1562.001", name: "Impair Defenses: Disable or Modify Tools" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "signal.sent" || observation.signal !== SIGSTOP) return;
    const { byPid, pid, startTime } = observation;
    if (byPid === pid || !state.isProtected(pid, startTime)) return;
    return {
      rule: this.rule,
      technique: "sigstop",
      operation: "signal",
      ...suspectOf(state, observation),
      target: subjectOf(state, pid, startTime),
      message: `${senderOf(state, observation)} stopped ${nameOf(state, pid, startTime)} (SIGSTOP)`,
      evidence: [observation],
    };
  },
};

import type { Detection } from "../finding.ts";
import type { AccessChecked } from "../observation.ts";
import type { State } from "../state.ts";
import { ATTACH_ACCESSES, accessOperation, answerToAccess } from "./accesses.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";

export const ptraceAttach: Detector = {
  rule: "ptrace-attach",
  severity: "critical",
  summary: "A process attached to a protected process with ptrace, or asked to.",
  guide: {
    means:
      "Another process became the tracer of a thread of a protected process. A tracer reads and writes all of its memory and registers, keys included. pidfd_getfd, kcmp and perf_event_open ask the kernel for the same permission.",
    fires:
      "The kernel's process connector reported the attach as it happened, or a pass over the threads found TracerPid set. Where the kernel lets rimon answer for it, the request itself is told, and in enforce mode refused.",
    attacker:
      "gdb -p, strace -p, gcore, or any program calling PTRACE_ATTACH or PTRACE_SEIZE, on the process or on one thread only. Afterwards PTRACE_PEEKDATA or /proc/PID/mem give the memory.",
    todo: "Treat every key the process held as known to the suspect: rotate the master key, evict cached keys. Find out who ran the tracer (ancestry, capture) and whether they meant to debug.",
    harmless:
      "An operator debugging on purpose. Add an exception for that executable with its hash, a reason and an expiry.",
    attack: [
      { id: "T1055.008", name: "Process Injection: Ptrace System Calls" },
      { id: "T1003.007", name: "OS Credential Dumping: Proc Filesystem" },
    ],
  },
  detect(observation, state) {
    if (observation.kind === "access.checked") return asked(observation, state);
    if (observation.kind !== "ptrace.attached") return;
    const { pid, tid, tracerPid, startTime } = observation;
    if (!state.isProtected(pid, startTime) || tracerPid === pid) return;
    return {
      rule: this.rule,
      technique: tid === pid ? "ptrace" : "ptrace-thread",
      operation: "attach",
      suspect: subjectOf(state, tracerPid),
      target: subjectOf(state, pid, startTime),
      message: `${nameOf(state, tracerPid)} attached to ${tid === pid ? "" : `thread ${tid} of `}${nameOf(state, pid, startTime)} with ptrace`,
      evidence: [observation],
    };
  },
};

function asked(observation: AccessChecked, state: State): Detection | undefined {
  const { call, tid, byPid, pid, startTime } = observation;
  const access = ATTACH_ACCESSES[call];
  if (access === undefined || byPid === pid || !state.isProtected(pid, startTime)) return undefined;
  const thread = call === "ptrace" && tid !== pid;
  return {
    rule: ptraceAttach.rule,
    ...(access.mild === true ? { severity: "medium" as const } : {}),
    technique: thread ? "ptrace-thread" : access.technique,
    operation: accessOperation(access, observation),
    suspect: subjectOf(state, byPid),
    target: subjectOf(state, pid, startTime),
    message: `${nameOf(state, byPid)} asked ${access.before} ${thread ? `thread ${tid} of ` : ""}${nameOf(state, pid, startTime)} ${access.behind}${answerToAccess(observation)}`,
    evidence: [observation],
  };
}

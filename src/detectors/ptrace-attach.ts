import type { Detection } from "../finding.ts";
import type { AccessChecked, CallMade } from "../observation.ts";
import type { State } from "../state.ts";
import { ATTACH_ACCESSES, accessOperation, answerToAccess } from "./accesses.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";

export const ptraceAttach: Detector = {
  rule: "ptrace-attach",
  severity: "critical",
  summary: "A process attached to a protected process with ptrace, or asked to.",
  guide: {
    means:
      "Another process became the tracer of a thread of a protected process. A tracer reads and writes all of its memory and registers, keys included.",
    fires:
      "The kernel's process connector reported the attach as it happened, or a pass over the threads found TracerPid set. An eBPF program reports who asked for it, also where the kernel refused, and who reads or writes registers. Where mode enforce refuses it, and with it pidfd_getfd, kcmp and the like, that is told as refused. A process that lets others trace it (PR_SET_PTRACER) is medium.",
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
    if (observation.kind === "call.made") return asked(observation, state);
    if (observation.kind === "access.checked") return checked(observation, state);
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

/** Before it is granted; what is let through and is no attach is for others to tell, once it is done. */
function checked(observation: AccessChecked, state: State): Detection | undefined {
  const { call, tid, byPid, pid, startTime, action } = observation;
  const access = ATTACH_ACCESSES[call];
  if (access === undefined || byPid === pid || !state.isProtected(pid, startTime)) return undefined;
  if (action === "seen" && call !== "ptrace") return undefined;
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

function asked(observation: CallMade, state: State): Detection | undefined {
  const { call, pid, tid, startTime, byPid, at } = observation;
  if (pid === undefined || !state.isProtected(pid, startTime)) return undefined;
  const target = nameOf(state, pid, startTime);
  const of = tid === undefined || tid === pid ? target : `thread ${tid} of ${target}`;
  const found = {
    rule: ptraceAttach.rule,
    technique: tid === undefined || tid === pid ? "ptrace" : "ptrace-thread",
    suspect: subjectOf(state, byPid),
    target: subjectOf(state, pid, startTime),
    evidence: [observation],
  };
  switch (call) {
    case "attach":
      // What was granted has been told as such.
      if (byPid === pid || state.wasDone(byPid, "attach", pid, at)) return undefined;
      return { ...found, operation: "attach", message: `${nameOf(state, byPid)} tried to attach to ${of} with ptrace` };
    case "registers-read":
    case "registers-write": {
      if (byPid === pid) return undefined;
      const did = call === "registers-read" ? "asked for" : "asked to change";
      return { ...found, operation: "registers", message: `${nameOf(state, byPid)} ${did} the registers of ${of}` };
    }
    case "tracer":
      return {
        rule: ptraceAttach.rule,
        severity: "medium",
        technique: "set-ptracer",
        operation: "allow",
        target: found.target,
        message: `${target} lets ${tracerOf(observation)} trace it (PR_SET_PTRACER)`,
        evidence: [observation],
      };
  }
  return undefined;
}

function tracerOf({ argument }: CallMade): string {
  if (argument === undefined) return "another process";
  // PR_SET_PTRACER_ANY is -1, also as 32 bits.
  return BigInt(argument) >= 0xffff_ffffn ? "every process" : `process ${argument} of its pid namespace`;
}

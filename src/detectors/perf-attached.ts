import { nameOf, subjectOf, type Detector } from "./detector.ts";

export const perfAttached: Detector = {
  rule: "perf-attached",
  severity: "high",
  summary: "A process asked for perf events of a protected process.",
  guide: {
    means:
      "perf_event_open(2) with the pid of another process samples it while it runs: registers and pieces of the stack, where a cipher keeps its round keys, or the timing of its cache, which gives keys away bit by bit.",
    fires:
      "An eBPF program saw the system call with the pid or a thread of a protected process. It is told as it is asked for: whether the kernel allowed it is not known here. Events of a whole processor or a cgroup, which take in every process there, are not told.",
    attacker: "perf record -p PID --call-graph dwarf, or a program that asks for PERF_SAMPLE_STACK_USER itself.",
    todo: "Find out who profiles on this node. If nobody meant to, treat the keys the process works with as known to the suspect and rotate them. kernel.perf_event_paranoid=3 keeps ordinary users out.",
    harmless: "A profiler of your own. Add an exception for that executable with its hash, a reason and an expiry.",
    attack: [
      { id: "T1003", name: "OS Credential Dumping" },
      { id: "T1056.004", name: "Input Capture: Credential API Hooking" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "call.made" || observation.call !== "perf") return;
    const { byPid, pid, startTime } = observation;
    if (pid === undefined || byPid === pid || !state.isProtected(pid, startTime)) return;
    return {
      rule: this.rule,
      technique: "perf-event-open",
      operation: "sample",
      suspect: subjectOf(state, byPid),
      target: subjectOf(state, pid, startTime),
      message: `${nameOf(state, byPid)} asked for perf events of ${nameOf(state, pid, startTime)}`,
      evidence: [observation],
    };
  },
};

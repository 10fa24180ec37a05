import { nameOf, subjectOf, type Detector } from "./detector.ts";

export const memoryRead: Detector = {
  rule: "memory-read",
  severity: "critical",
  summary: "A process opened the memory of a protected process through /proc.",
  guide: {
    means:
      "Another process opened, read or wrote /proc/PID/mem (or task/TID/mem) of a protected process: all of its memory, keys included, is open to it.",
    fires:
      "A fanotify mark on every procfs in reach reported the access with the accessing pid, or a sweep found the descriptor already open.",
    attacker:
      "dd, a script or a dumper reads /proc/PID/maps to find the heap and then /proc/PID/mem. A second procfs mount, a path by task/TID and a descriptor handed over by another process are the usual ways around path rules.",
    todo: "Treat every key the process held as known to the suspect: rotate the master key, evict cached keys. Then look at the capture: who started the reader, what else is it holding?",
    harmless:
      "A crash handler or a profiler of your own. Add an exception for that executable with its hash, a reason and an expiry.",
    attack: [
      { id: "T1003.007", name: "OS Credential Dumping: Proc Filesystem" },
      { id: "T1055.009", name: "Process Injection: Proc Memory" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "procfs.accessed" || observation.file !== "mem") return;
    const { pid, targetPid, targetStartTime, targetTid, access, ownMount, path } = observation;
    if (targetPid === undefined || targetPid === pid || !state.isProtected(targetPid, targetStartTime)) return;
    const done = { open: "opened", read: "read", write: "wrote to", held: "holds open" }[access];
    return {
      rule: this.rule,
      technique: !ownMount ? "proc-mem-other-mount" : targetTid === undefined ? "proc-mem" : "proc-task-mem",
      // Opening, reading and holding are one act to whoever reads the alert; changing the memory is another.
      operation: access === "write" ? "write" : "read",
      suspect: subjectOf(state, pid),
      target: subjectOf(state, targetPid, targetStartTime),
      message: `${nameOf(state, pid)} ${done} the memory of ${nameOf(state, targetPid, targetStartTime)} by ${path}`,
      evidence: [observation],
    };
  },
};

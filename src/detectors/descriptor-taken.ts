import { nameOf, subjectOf, type Detector } from "./detector.ts";

export const descriptorTaken: Detector = {
  rule: "descriptor-taken",
  severity: "critical",
  summary: "A process asked for a copy of a descriptor that a protected process holds.",
  guide: {
    means:
      "pidfd_getfd(2) copies an open descriptor out of another process: its key file past all file permissions, its TLS connection, the memfd it keeps secrets in. It needs the right to trace and attaches to nothing, so nothing else tells of it.",
    fires:
      "An eBPF program saw the system call on a pidfd of a protected process. It is told as it is asked for: whether the kernel allowed it is not known here.",
    attacker: "Opens a pidfd of the process and takes one descriptor after another until one is worth reading.",
    todo: "Treat what the process holds open as known to the suspect: key files, connections, sockets of a key service. Rotate the keys, close the connections. Look at who the suspect is.",
    harmless:
      "Checkpoint tools (CRIU), and supervisors that take over a listening socket. Add an exception for that executable with its hash, a reason and an expiry.",
    attack: [
      { id: "T1055", name: "Process Injection" },
      { id: "T1552.004", name: "Unsecured Credentials: Private Keys" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "call.made" || observation.call !== "getfd") return;
    const { byPid, pid, startTime, argument } = observation;
    if (pid === undefined || byPid === pid || !state.isProtected(pid, startTime)) return;
    const descriptor = argument === undefined ? "a descriptor" : `descriptor ${argument}`;
    return {
      rule: this.rule,
      technique: "pidfd-getfd",
      operation: "take",
      suspect: subjectOf(state, byPid),
      target: subjectOf(state, pid, startTime),
      message: `${nameOf(state, byPid)} asked for a copy of ${descriptor} of ${nameOf(state, pid, startTime)} (pidfd_getfd)`,
      evidence: [observation],
    };
  },
};

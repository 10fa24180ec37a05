import { nameOf, subjectOf, type Detector } from "./detector.ts";
import { answerTo } from "./touches.ts";

export const uprobeSet: Detector = {
  rule: "uprobe-set",
  severity: "critical",
  summary: "A process set a uprobe on the code of a protected process, or removed one.",
  guide: {
    means:
      "A uprobe is a breakpoint that the kernel puts into the code of a process for somebody else. On a function of a crypto library it hands every key and plaintext that passes to whoever set it.",
    fires:
      "An eBPF program saw the system call that asks for a uprobe in this process, before the kernel said yes or no, or saw the kernel go through its mappings to set or remove the breakpoint, in the system call of whoever asked for it. A uprobe that was set before the process started is not seen this way.",
    attacker:
      "bpftrace -e 'uprobe:/usr/lib/.../libcrypto.so.3:EVP_DecryptUpdate {...}', eCapture, perf probe -x. Tools for performance do the same to other functions.",
    todo: "Treat what passes that library as known to the suspect: rotate the master key, evict cached keys. bpftool perf shows the probes that are still set, by path and offset.",
    harmless: "A profiler of your own. Add an exception for that executable with its hash, a reason and an expiry.",
    attack: [
      { id: "T1056.004", name: "Input Capture: Credential API Hooking" },
      { id: "T1055", name: "Process Injection" },
    ],
  },
  detect(observation, state) {
    const asked = observation.kind === "call.made" && observation.call === "probe";
    const done = observation.kind === "memory.touched" && observation.operation === "uprobe";
    if (!asked && !done) return;
    const { byPid, pid, startTime } = observation;
    if (pid === undefined || byPid === pid || !state.isProtected(pid, startTime)) return;
    return {
      rule: this.rule,
      technique: "uprobe",
      operation: "probe",
      suspect: subjectOf(state, byPid),
      target: subjectOf(state, pid, startTime),
      message: `${nameOf(state, byPid)} ${asked ? "asked for a uprobe" : "set or removed a uprobe"} on ${nameOf(state, pid, startTime)}${done ? answerTo(observation) : ""}`,
      evidence: [observation],
    };
  },
};

import type { Process } from "../observation.ts";
import { baseName, nameOf, subjectOf, type Detector } from "./detector.ts";

const SIGUSR1 = 10;

export const inspectorOpened: Detector = {
  rule: "inspector-opened",
  severity: "high",
  summary: "A process sent SIGUSR1 to a protected Node.js process, which opens its inspector.",
  guide: {
    means:
      "On SIGUSR1 Node.js listens on 127.0.0.1:9229 for a debugger. Whoever connects runs code in the process and takes a snapshot of its heap: every key in it.",
    fires:
      "An eBPF program saw the signal being sent by another process. Not for a node that was started with --disable-sigusr1.",
    attacker: "kill -USR1 PID, or node -e 'process._debugProcess(PID)', then node inspect or curl on port 9229.",
    todo: "Look for connections to port 9229 (ss -tlnp). Treat the keys of the process as known to the suspect; restart it, since an open inspector stays open. Start it with --disable-sigusr1 where that exists (Node.js 22.14, 23.7), or handle SIGUSR1 in the program.",
    harmless:
      "A program that handles SIGUSR1 itself, to reopen its logs for example: then no inspector opens. Add an exception for the sender.",
    attack: [
      { id: "T1055", name: "Process Injection" },
      { id: "T1059.007", name: "Command and Scripting Interpreter: JavaScript" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "signal.sent" || observation.signal !== SIGUSR1) return;
    const { byPid, pid, startTime } = observation;
    if (byPid === pid || !state.isProtected(pid, startTime)) return;
    if (!opensInspector(state.find(pid, startTime)?.process)) return;
    return {
      rule: this.rule,
      technique: "node-sigusr1",
      operation: "signal",
      suspect: subjectOf(state, byPid),
      target: subjectOf(state, pid, startTime),
      message: `${nameOf(state, byPid)} sent SIGUSR1 to ${nameOf(state, pid, startTime)}, which opens its inspector`,
      evidence: [observation],
    };
  },
};

function opensInspector(process: Process | undefined): boolean {
  if (process === undefined) return false;
  const file = process.exe === undefined ? process.comm : baseName(process.exe.replace(/ \(deleted\)$/, ""));
  return /^node(?:js)?(?:-?\d[\d.]*)?$/.test(file) && process.cmdline?.includes("--disable-sigusr1") !== true;
}

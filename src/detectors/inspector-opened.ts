import type { Detection } from "../finding.ts";
import type { Process, ProcessSeen } from "../observation.ts";
import type { State } from "../state.ts";
import { baseName, nameOf, senderOf, subjectOf, suspectOf, type Detector } from "./detector.ts";

const SIGUSR1 = 10;

export const inspectorOpened: Detector = {
  rule: "inspector-opened",
  severity: "high",
  summary: "The inspector of a protected Node.js process was opened, by SIGUSR1 or by how it was started.",
  guide: {
    means:
      "On SIGUSR1, and from the start with --inspect, Node.js listens on 127.0.0.1:9229 for a debugger. Whoever connects runs code in the process and takes a snapshot of its heap: every key in it.",
    fires:
      "An eBPF program saw the signal being sent by another process, or by a descriptor that one has set to send it, which does nothing to a node that was started with --disable-sigusr1; or --inspect stands among the process's own options. What NODE_OPTIONS says is not looked at.",
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
    if (observation.kind === "process.seen") return started(observation, state);
    if (observation.kind !== "signal.sent" || observation.signal !== SIGUSR1) return;
    const { byPid, pid, startTime } = observation;
    if (byPid === pid || !state.isProtected(pid, startTime)) return;
    if (!opensInspector(state.find(pid, startTime)?.process)) return;
    return {
      rule: this.rule,
      technique: "node-sigusr1",
      operation: "signal",
      ...suspectOf(state, observation),
      target: subjectOf(state, pid, startTime),
      message: `${senderOf(state, observation)} sent SIGUSR1 to ${nameOf(state, pid, startTime)}, which opens its inspector`,
      evidence: [observation],
    };
  },
};

function started(observation: ProcessSeen, state: State): Detection | undefined {
  const { process } = observation;
  const { pid, startTime } = process;
  if (!isNode(process) || !state.isProtected(pid, startTime)) return undefined;
  const option = nodeOptions(process).find((each) => /^--inspect(?:-brk|-wait)?(?:=|$)/.test(each));
  if (option === undefined) return undefined;
  return {
    rule: inspectorOpened.rule,
    technique: "node-inspect",
    operation: "start",
    target: subjectOf(state, pid, startTime),
    message: `${nameOf(state, pid, startTime)} was started with ${option}, which opens its inspector`,
    evidence: [observation],
  };
}

function opensInspector(process: Process | undefined): boolean {
  return process !== undefined && isNode(process) && process.cmdline?.includes("--disable-sigusr1") !== true;
}

function isNode({ exe, comm }: Process): boolean {
  const file = exe === undefined ? comm : baseName(exe.replace(/ \(deleted\)$/, ""));
  return /^node(?:js)?(?:-?\d[\d.]*)?$/.test(file);
}

/** What stands before the script is for node, what stands behind it for the script. */
function nodeOptions({ cmdline = [] }: Process): readonly string[] {
  const script = cmdline.findIndex((argument, index) => index > 0 && !argument.startsWith("-"));
  return cmdline.slice(1, script === -1 ? undefined : script);
}

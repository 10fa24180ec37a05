import type { State } from "../state.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";
import { isOrdinaryReader } from "./ordinary-readers.ts";

/** Container runtimes run from a sealed copy of themselves, so that a container cannot overwrite them (CVE-2019-5736). */
const RUNTIME_COPY = /^memfd:(?:runc_cloned|crun|lxc)/;
const ANCESTORS = 4;

export const filelessExec: Detector = {
  rule: "fileless-exec",
  severity: "high",
  summary: "A program was started that has no name on any filesystem: a memfd, or a file that was unlinked first.",
  guide: {
    means:
      "What runs there can be looked at in no folder and checked against no package: it came from memory, or its file was removed before it was started.",
    fires: "The eBPF program at exec found that the executable has no links left.",
    attacker:
      "memfd_create and fexecve keep a dumper or an implant off the disk; so does a file that deletes itself between open and exec.",
    todo: "The capture has its command line, ancestry and open files; the program itself can still be copied from /proc/PID/exe while it runs. Find out what started it.",
    harmless:
      "Container runtimes that run from a copy of themselves are known and quiet. For a launcher of your own add an exception for the program that starts it.",
    attack: [
      { id: "T1620", name: "Reflective Code Loading" },
      { id: "T1070.004", name: "Indicator Removal: File Deletion" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "unlinked.executed") return;
    const { pid, startTime, name } = observation;
    if (RUNTIME_COPY.test(name) && isOfRuntime(state, pid)) return;
    const isMemory = name.startsWith("memfd:");
    const what = isMemory ? `a program from memory, ${name}` : `${name}, a file that was already unlinked`;
    return {
      rule: this.rule,
      technique: isMemory ? "memfd-exec" : "deleted-exec",
      operation: "exec",
      suspect: subjectOf(state, pid, startTime),
      subject: name,
      message: `${nameOf(state, pid, startTime)} runs ${what}`,
      evidence: [observation],
    };
  },
};

function isOfRuntime(state: State, pid: number): boolean {
  let process = state.find(pid)?.process;
  for (let step = 0; step < ANCESTORS && process !== undefined; step++) {
    process = state.find(process.parentPid)?.process;
    if (isOrdinaryReader(process)) return true;
  }
  return false;
}

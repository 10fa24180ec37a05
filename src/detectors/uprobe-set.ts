import type { Detection } from "../finding.ts";
import type { UprobeSeen } from "../observation.ts";
import type { State } from "../state.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";
import { answerTo } from "./touches.ts";

const SHOWN = 3;

export const uprobeSet: Detector = {
  rule: "uprobe-set",
  severity: "critical",
  summary: "A process set a uprobe on the code of a protected process, removed one, or holds one.",
  guide: {
    means:
      "A uprobe is a breakpoint that the kernel puts into the code of a process for somebody else. On a function of a crypto library it hands every key and plaintext that passes to whoever set it.",
    fires:
      "An eBPF program saw the system call that asks for a uprobe in this process, before the kernel said yes or no, or saw the kernel go through its mappings to set or remove the breakpoint, in the system call of whoever asked for it. Or a pass over all uprobes that the kernel tells of found it set, whenever that was done: with its function and, where a process holds it, with that process. Of a probe by a perf event without an eBPF program the kernel tells nobody: once it is set it is seen as code-modified only.",
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
    if (observation.kind === "uprobe.seen") return held(observation, state);
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

function held(observation: UprobeSeen, state: State): Detection | undefined {
  const { pid, startTime, byPid, byStartTime } = observation;
  if (byPid === pid || !state.isProtected(pid, startTime)) return undefined;
  return {
    rule: uprobeSet.rule,
    technique: "uprobe",
    operation: "probe",
    ...(byPid === undefined ? {} : { suspect: subjectOf(state, byPid, byStartTime) }),
    target: subjectOf(state, pid, startTime),
    subject: observation.path,
    message: `${holderOf(observation, state)} ${placesOf(observation)}, code of ${nameOf(state, pid, startTime)}`,
    evidence: [observation],
  };
}

function holderOf({ byPid, byStartTime, by, name }: UprobeSeen, state: State): string {
  if (byPid !== undefined) return `${nameOf(state, byPid, byStartTime)} holds`;
  return by === "event"
    ? `The event ${name ?? "without a name"} of tracefs is`
    : "An eBPF link that no process holds is";
}

function placesOf({ probes, count, path }: UprobeSeen): string {
  const places = probes.slice(0, SHOWN).map(({ place, offset, returns }) => {
    const at = place === undefined ? `0x${offset.toString(16)}` : `${place.name}+0x${place.offset.toString(16)}`;
    return returns ? `the return of ${at}` : at;
  });
  const more = count - places.length;
  return `${count === 1 ? "a uprobe" : "uprobes"} on ${places.join(", ")}${more > 0 ? ` and ${more} more places` : ""} in ${path}`;
}

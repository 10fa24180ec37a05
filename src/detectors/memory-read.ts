import type { Detection } from "../finding.ts";
import type {
  AccessChecked,
  Call,
  CallMade,
  MachineMemoryOpened,
  MemoryOperation,
  MemoryTouched,
} from "../observation.ts";
import type { State } from "../state.ts";
import { MEMORY_ACCESSES, accessOperation, answerToAccess } from "./accesses.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";
import { READS, actOf, answerTo, operationOf } from "./touches.ts";

export const memoryRead: Detector = {
  rule: "memory-read",
  severity: "critical",
  summary: "A process read, wrote or opened the memory of a protected process.",
  guide: {
    means:
      "Another process read or wrote the memory of a protected process, or opened its /proc/PID/mem (or task/TID/mem): all of its memory, keys included, is open to it. Or it opened the memory of the whole machine (/proc/kcore, /dev/mem), in which that of every protected process lies.",
    fires:
      "An eBPF program saw the lock of that memory being taken for another process (process_vm_readv, ptrace, /proc/PID/mem by any path, mount or descriptor, io_uring, eBPF), or such a call being made that came to nothing; the kernel asked rimon whether to allow it, a fanotify mark on a procfs reported the opening, or a sweep found the descriptor already open. /proc/kcore, /dev/mem, /dev/kmem and /dev/port are told whoever opens them, by the kernel's own check through any node or mount, or else kcore alone by a mark on a procfs.",
    attacker:
      "dd, a script or a dumper reads /proc/PID/maps to find the heap and then /proc/PID/mem. A second procfs mount, a path by task/TID and a descriptor handed over by another process are the usual ways around path rules. Who is root takes everybody's keys at once out of /proc/kcore or /dev/mem (AVML).",
    todo: "Treat every key the process held as known to the suspect: rotate the master key, evict cached keys. Then look at the capture: who started the reader, what else is it holding?",
    harmless:
      "A crash handler or a profiler of your own; of the machine's memory crash, drgn, dmidecode or X without a driver. Add an exception for that executable with its hash, a reason and an expiry.",
    attack: [
      { id: "T1003.007", name: "OS Credential Dumping: Proc Filesystem" },
      { id: "T1055.009", name: "Process Injection: Proc Memory" },
    ],
  },
  detect(observation, state) {
    if (observation.kind === "memory.touched") return touched(observation, state);
    if (observation.kind === "call.made") return tried(observation, state);
    if (observation.kind === "access.checked") return checked(observation, state);
    if (observation.kind === "machine-memory.opened") return machine(observation, state);
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

function checked(observation: AccessChecked, state: State): Detection | undefined {
  const { call, byPid, pid, startTime } = observation;
  const access = MEMORY_ACCESSES[call];
  if (access === undefined || byPid === pid || !state.isProtected(pid, startTime)) return undefined;
  return {
    rule: memoryRead.rule,
    ...(access.mild === true ? { severity: "medium" as const } : {}),
    technique: access.technique,
    operation: accessOperation(access, observation),
    suspect: subjectOf(state, byPid),
    target: subjectOf(state, pid, startTime),
    message: `${nameOf(state, byPid)} asked ${access.before} ${nameOf(state, pid, startTime)} ${access.behind}${answerToAccess(observation)}`,
    evidence: [observation],
  };
}

const MACHINE = {
  kcore: { technique: "proc-kcore", names: "/proc/kcore", what: "the memory of the kernel and of every process" },
  device: { technique: "dev-mem", names: "/dev/mem, /dev/kmem or /dev/port", what: "the physical memory" },
} as const;

/** Whose keys lie there need not be found out: everybody's. */
function machine(observation: MachineMemoryOpened, state: State): Detection {
  const { memory, access, pid, path, action } = observation;
  const { technique, names, what } = MACHINE[memory];
  // Where the kernel was asked it may have its own reasons to refuse.
  const did = path === undefined ? "asked to open" : { open: "opened", read: "read", write: "wrote to" }[access];
  return {
    rule: memoryRead.rule,
    technique,
    operation: accessOperation({ operation: access === "write" ? "write" : "read" }, { action }),
    suspect: subjectOf(state, pid),
    everyTenant: true,
    subject: names,
    message: `${nameOf(state, pid)} ${did} ${path ?? names}, ${what}${answerToAccess({ action })}`,
    evidence: [observation],
  };
}

function touched(observation: MemoryTouched, state: State): Detection | undefined {
  const { operation, byPid, pid, startTime } = observation;
  const touch = READS[operation];
  if (touch === undefined || byPid === pid || !state.isProtected(pid, startTime)) return undefined;
  const mild = operation === "advise" || operation === "move" || operation === "unknown";
  return {
    rule: memoryRead.rule,
    ...(mild ? { severity: "medium" as const } : {}),
    technique: touch.technique,
    operation: operationOf(observation),
    suspect: subjectOf(state, byPid),
    target: subjectOf(state, pid, startTime),
    message: `${nameOf(state, byPid)} ${actOf(touch, observation)} of ${nameOf(state, pid, startTime)} by ${touch.by}${answerTo(observation)}`,
    evidence: [observation],
  };
}

const TRIES: Readonly<Partial<Record<Call & MemoryOperation, string>>> = {
  "vm-read": "read the memory",
  "vm-write": "write to the memory",
  peek: "read the memory",
  poke: "write to the memory",
  advise: "give advice on the memory",
};

/** What the kernel granted has been told as such. */
function tried(observation: CallMade, state: State): Detection | undefined {
  const { call, byPid, pid, startTime, at } = observation;
  const operation = call as Call & MemoryOperation;
  const wanted = TRIES[operation];
  const touch = READS[operation];
  if (wanted === undefined || touch === undefined || pid === undefined || byPid === pid) return undefined;
  if (!state.isProtected(pid, startTime) || state.wasDone(byPid, operation, pid, at)) return undefined;
  return {
    rule: memoryRead.rule,
    ...(call === "advise" ? { severity: "medium" as const } : {}),
    technique: touch.technique,
    operation: call === "vm-write" || call === "poke" ? "write" : "read",
    suspect: subjectOf(state, byPid),
    target: subjectOf(state, pid, startTime),
    message: `${nameOf(state, byPid)} tried to ${wanted} of ${nameOf(state, pid, startTime)} by ${touch.by}`,
    evidence: [observation],
  };
}

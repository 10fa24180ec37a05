import type { Detection } from "../finding.ts";
import type { Observation, ObservationOf } from "../observation.ts";
import type { State } from "../state.ts";
import { accessOperation, answerToAccess } from "./accesses.ts";
import { nameOf, senderOf, subjectOf, suspectOf, type Detector } from "./detector.ts";

/** How long after a write to a sysctl a changed value is put down to that writer. */
const WRITER_MS = 10_000;

/** How long after a signal the beginning of a dump is put down to its sender. */
const DUMPING_MS = 1_000;
/** And the end of the process by that very signal: writing the dump takes as long as the memory is large. */
const ENDED_MS = 60_000;

/** The signals whose default is a core dump (signal(7)). */
const CORE_SIGNALS: ReadonlyMap<number, string> = new Map([
  [3, "SIGQUIT"], [4, "SIGILL"], [5, "SIGTRAP"], [6, "SIGABRT"], [7, "SIGBUS"], [8, "SIGFPE"],
  [11, "SIGSEGV"], [24, "SIGXCPU"], [25, "SIGXFSZ"], [31, "SIGSYS"],
]); // prettier-ignore

export const coreDump: Detector = {
  rule: "core-dump",
  severity: "critical",
  summary: "A protected process dumped core or was made to, or what decides about dumps was changed.",
  guide: {
    means:
      "A core file holds the whole memory of a process, keys included, and lies on disk or goes to whatever core_pattern names. RLIMIT_CORE=0 does not stop a pipe or socket handler.",
    fires:
      "The kernel reported a core-dumping signal for a protected process (also if no dump came of it), core_pattern was written, was about to be (where mode enforce refuses that) or differs, or RLIMIT_CORE, coredump_filter or the dumpable flag of a protected process were loosened. Who sent the signal or asked for the limit is named where eBPF saw them. That a process makes itself dumpable in its first three seconds is its own business; later it is medium if what it was before is not known.",
    attacker:
      "kill -ABRT or gcore on the process; or first points core_pattern at a program or a socket of their own, then crashes it.",
    todo: "Find and destroy the dump (coredumpctl, the directory core_pattern names), rotate the keys. Put core_pattern back. Run key holders with LimitCORE=0, PR_SET_DUMPABLE 0 and MADV_DONTDUMP.",
    harmless: "A crash without an attacker. The dump holds the keys all the same.",
    attack: [
      { id: "T1003", name: "OS Credential Dumping" },
      { id: "T1005", name: "Data from Local System" },
    ],
  },
  detect(observation, state) {
    switch (observation.kind) {
      case "process.dumping":
        return dumping(observation, state);
      case "process.exited":
        return killed(observation, state);
      case "sysctl.written":
        return written(observation, state);
      case "setting.seen":
        return drifted(observation, state);
      case "posture.seen":
        return loosened(observation, state);
      case "procfs.accessed":
        return filterWritten(observation, state);
      case "call.made":
        return asked(observation, state);
    }
    return undefined;
  },
};

function dumping(observation: ObservationOf<"process.dumping">, state: State): Detection | undefined {
  const { pid, at } = observation;
  if (!state.isProtected(pid)) return;
  const sent = state.lastSignal(pid, CORE_SIGNALS.keys());
  const by = sent !== undefined && at - sent.at <= DUMPING_MS ? sent : undefined;
  const what = by === undefined ? "a signal that dumps core" : `${CORE_SIGNALS.get(by.signal)}${from(by, state)}`;
  return {
    ...found(
      state,
      observation,
      "core-dump",
      "dump",
      `${nameOf(state, pid)} got ${what}; ${whatComesOfIt(state, pid)}`,
      pid,
    ),
    ...(by === undefined ? {} : suspectOf(state, by)),
  };
}

function killed(observation: ObservationOf<"process.exited">, state: State): Detection | undefined {
  const { pid, startTime, signal, dumped, at } = observation;
  const name = signal === undefined ? undefined : CORE_SIGNALS.get(signal);
  if (signal === undefined || name === undefined || !state.isProtected(pid, startTime)) return;
  const sent = state.lastSignal(pid, [signal]);
  const by = sent !== undefined && at - sent.at <= ENDED_MS ? sent : undefined;
  const end = dumped === true ? "and its memory was dumped" : "and no dump was written";
  return {
    ...found(
      state,
      observation,
      "core-dump",
      "dump",
      `${nameOf(state, pid, startTime)} was ended by ${name}${from(by, state)} ${end}`,
      pid,
    ),
    ...(by === undefined ? {} : suspectOf(state, by)),
  };
}

function written(observation: ObservationOf<"sysctl.written">, state: State): Detection | undefined {
  const { name, pid, action, value } = observation;
  if (name !== "kernel.core_pattern" && name !== "fs.suid_dumpable") return;
  const [operation, did] =
    action === undefined
      ? ["write", `wrote ${name}`]
      : [
          accessOperation({ operation: "write" }, { action }),
          `asked to write "${value ?? ""}" to ${name}${answerToAccess({ action })}`,
        ];
  return {
    ...found(state, observation, `${sysctlWord(name)}-write`, operation, `${nameOf(state, pid)} ${did}`),
    suspect: subjectOf(state, pid),
    subject: name,
    everyTenant: true,
  };
}

function drifted(observation: ObservationOf<"setting.seen">, state: State): Detection | undefined {
  const { setting, value, at } = observation;
  if (setting !== "kernel.core_pattern" && setting !== "fs.suid_dumpable") return;
  const known = state.setting(setting);
  if (known === undefined || known.first || known.previous === value) return;
  const writer = state.lastWrite(setting);
  const by = writer !== undefined && at - writer.at < WRITER_MS ? writer.pid : undefined;
  return {
    ...found(
      state,
      observation,
      `${sysctlWord(setting)}-write`,
      // Not "write": where dumps go from now on must not be counted away as a repeat of the act that was seen first.
      "change",
      `${setting} was changed from "${known.previous ?? ""}" to "${value ?? ""}"${by === undefined ? "" : ` by ${nameOf(state, by)}`}${destination(value)}`,
    ),
    ...(by === undefined ? {} : { suspect: subjectOf(state, by) }),
    // Another value is another change, also by the same hand within a second.
    subject: `${setting}=${value ?? ""}`,
    everyTenant: true,
  };
}

function loosened(observation: ObservationOf<"posture.seen">, state: State): Detection | undefined {
  const { pid, startTime } = observation;
  const known = state.find(pid, startTime);
  const before = known?.posture?.previous;
  if (known?.protectedBy === undefined || before === undefined) return;
  const now = observation.posture;
  const who = nameOf(state, pid, startTime);
  if (before.coreLimit !== undefined && now.coreLimit !== undefined && more(now.coreLimit[0], before.coreLimit[0])) {
    return found(
      state,
      observation,
      "rlimit-core",
      "loosen",
      `RLIMIT_CORE of ${who} was raised from ${before.coreLimit[0]} to ${now.coreLimit[0]}`,
      pid,
    );
  }
  if (
    before.coredumpFilter !== undefined &&
    now.coredumpFilter !== undefined &&
    (now.coredumpFilter & ~before.coredumpFilter) !== 0
  ) {
    return found(
      state,
      observation,
      "coredump-filter",
      "loosen",
      `coredump_filter of ${who} was widened from 0x${before.coredumpFilter.toString(16)} to 0x${now.coredumpFilter.toString(16)}`,
      pid,
    );
  }
  const { euid } = known.process;
  if (euid !== undefined && euid !== 0 && before.procOwner === 0 && now.procOwner === euid) {
    return found(state, observation, "dumpable", "loosen", `${who} became dumpable`, pid);
  }
  return undefined;
}

function filterWritten(observation: ObservationOf<"procfs.accessed">, state: State): Detection | undefined {
  const { file, access, pid, targetPid, targetStartTime } = observation;
  if (file !== "coredump_filter" || access !== "write") return;
  if (targetPid === undefined || targetPid === pid || !state.isProtected(targetPid, targetStartTime)) return;
  return {
    ...found(
      state,
      observation,
      "coredump-filter",
      "write",
      `${nameOf(state, pid)} wrote coredump_filter of ${nameOf(state, targetPid, targetStartTime)}`,
      targetPid,
    ),
    suspect: subjectOf(state, pid),
  };
}

function asked(observation: ObservationOf<"call.made">, state: State): Detection | undefined {
  const { call, pid, startTime, byPid, argument } = observation;
  if (pid === undefined || !state.isProtected(pid, startTime)) return;
  const who = nameOf(state, pid, startTime);
  if (call === "dumpable" && byPid === pid) {
    const dumpable = isDumpable(state, pid, startTime);
    if (dumpable === true) return;
    // Where it is not known what it was before, it may have changed nothing.
    const severity = dumpable === undefined ? { severity: "medium" as const } : {};
    const message = `${who} made itself dumpable (PR_SET_DUMPABLE)`;
    return { ...found(state, observation, "dumpable", "loosen", message, pid), ...severity };
  }
  if (call !== "core-limit" || byPid === pid || argument === "0") return;
  const limit = argument === undefined ? "an unknown limit" : argument === UNLIMITED ? "unlimited" : argument;
  return {
    ...found(
      state,
      observation,
      "rlimit-core",
      "loosen",
      `${nameOf(state, byPid)} asked to set RLIMIT_CORE of ${who} to ${limit}`,
      pid,
    ),
    suspect: subjectOf(state, byPid),
  };
}

/** As it was last read; root's files tell nothing, since they are root's either way. */
function isDumpable(state: State, pid: number, startTime: number | undefined): boolean | undefined {
  const known = state.find(pid, startTime);
  const euid = known?.process.euid;
  const owner = known?.posture?.current.procOwner;
  return euid === undefined || euid === 0 || owner === undefined ? undefined : owner === euid;
}

/** RLIM_INFINITY. */
const UNLIMITED = (2n ** 64n - 1n).toString();

function from(sent: ObservationOf<"signal.sent"> | undefined, state: State): string {
  return sent === undefined ? "" : ` from ${senderOf(state, sent)}`;
}

function found(
  state: State,
  observation: Observation,
  technique: string,
  operation: string,
  message: string,
  target?: number,
): Detection {
  return {
    rule: "core-dump",
    technique,
    operation,
    ...(target === undefined ? {} : { target: subjectOf(state, target) }),
    message,
    evidence: [observation],
  };
}

function whatComesOfIt(state: State, pid: number): string {
  const pattern = state.setting("kernel.core_pattern")?.value;
  if (pattern === undefined) return "where the dump goes is not known";
  if (/^[|@]/.test(pattern)) return `core_pattern hands it to ${pattern}`;
  const limit = state.find(pid)?.posture?.current.coreLimit?.[0];
  if (limit === "0") return "RLIMIT_CORE is 0, so no file is written";
  return `core_pattern writes it to "${pattern}"`;
}

function destination(value: string | undefined): string {
  if (value?.startsWith("|") === true) return ": dumps go to a program";
  if (value?.startsWith("@") === true) return ": dumps go to a socket";
  return "";
}

function sysctlWord(name: string): string {
  return name === "kernel.core_pattern" ? "core-pattern" : "suid-dumpable";
}

function more(now: string, before: string): boolean {
  if (before === "unlimited") return false;
  return now === "unlimited" || Number(now) > Number(before);
}

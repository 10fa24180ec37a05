// Snapshots of isolation structures, as a library: take one while all is well, compare with it later, or all the time.

import { readFileSync, readlinkSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { SUBSYSTEMS } from "./baselines/all.ts";
import { cgroupLimits } from "./baselines/cgroup-limits.ts";
import { bpfText } from "./baselines/subsystems/bpf-programs.ts";
import { codeText } from "./baselines/subsystems/code.ts";
import { seccompFiltersText } from "./baselines/subsystems/seccomp-filters.ts";
import { THREAD_FIELDS } from "./baselines/subsystems/threads.ts";
import {
  compare,
  subsystemNamed,
  textsFor,
  viewOf,
  type Anomaly,
  type Checked,
  type Identity,
  type Snapshot,
  type TextBytes,
} from "./baselines/snapshot.ts";
import { counted, type Subsystem, type TextName } from "./baselines/subsystem.ts";
import { RimonError } from "./errors.ts";
import { requireAddon, type Procfs } from "./native.ts";
import { decodeRecords } from "./records.ts";

/** Where the texts come from. */
export interface ProcfsSource {
  /** Undefined: there is none, or it may not be read. */
  read(text: TextName): Uint8Array | undefined;
  /** Whose they are; texts of nobody in particular are always of the same. */
  identity?(): Identity;
}

/** Milliseconds since the epoch. */
export type Clock = () => number;

export interface SnapshotOptions {
  /** Date.now if not given. */
  readonly clock?: Clock;
  /** Names of subsystems; all of them if not given. */
  readonly subsystems?: readonly string[];
}

/** What the application is to do about it; none of them is done here. */
export type IsolationSeverity = "Log" | "Isolate" | "Restart" | "Degrade" | "Safe_mode";

export interface DaemonOptions extends SnapshotOptions {
  readonly procfs: ProcfsSource;
  readonly baseline: Snapshot;
  /** Milliseconds; 30 s if not given. */
  readonly interval?: number;
  /** Is told every anomaly of every check, and says how severe they are. */
  readonly onAnomaly?: (anomalies: readonly Anomaly[]) => IsolationSeverity;
  /** Is told that severity. */
  readonly onSeverity?: (severity: IsolationSeverity, anomalies: readonly Anomaly[]) => void;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

export const DEFAULT_INTERVAL_MS = 30_000;
/** Readings that have to agree before something is an anomaly: a bit that was read wrongly is not read wrongly thrice. */
const READINGS = 3;

/** Names of the subsystems that are looked at where none are named. */
export const subsystems: readonly string[] = SUBSYSTEMS.flatMap(({ name, onRequest }) =>
  onRequest === true ? [] : [name],
);

export const procfs = {
  /**
   * The texts of a process, this one if not named, and of the kernel, out of /proc and /sys. The eBPF programs of
   * `monitor`, the pid of a rimon that runs, are left out: they are there while it is.
   */
  live(pid: number | "self" = "self", monitor?: number): ProcfsSource {
    return {
      read: (text) => orUndefined(() => (text === "bpf" ? readPrograms(monitor) : READERS[text](pid))),
      identity: () => identityOf(pid),
    };
  },
  /** Texts that are given, for tests; what is not given cannot be read. */
  mock(texts: Readonly<Partial<Record<TextName, string | Uint8Array>>>): ProcfsSource {
    return {
      read(name) {
        const text = texts[name];
        return typeof text === "string" ? Buffer.from(text) : text;
      },
    };
  },
} as const;

export function snapshot(
  source: ProcfsSource,
  { clock = Date.now, subsystems: names }: SnapshotOptions = {},
): Snapshot {
  const chosen = choose(names);
  const takenAt = clock();
  const texts: TextBytes = Object.fromEntries(
    textsFor(chosen).flatMap((name) => {
      const text = source.read(name);
      return text === undefined ? [] : [[name, text] as const];
    }),
  );
  return {
    ...source.identity?.(),
    takenAt,
    subsystems: Object.fromEntries(chosen.map((each) => [each.name, viewOf(each, texts)])),
  };
}

/**
 * Compares what is there with what was there. What differs is read twice more: only what differs every time is told, so
 * that neither a bit misread nor a text that changed while it was read is taken for a change.
 */
export function check(
  baseline: Snapshot,
  source: ProcfsSource,
  { clock = Date.now, subsystems: names = Object.keys(baseline.subsystems) }: SnapshotOptions = {},
): Checked {
  let taken = snapshot(source, { clock, subsystems: names });
  const checkedAt = taken.takenAt;
  let anomalies = compare(baseline, taken);
  for (let reading = 1; reading < READINGS && anomalies.length > 0; reading++) {
    const before = new Set(anomalies.map(({ subsystem }) => subsystem));
    taken = snapshot(source, { clock: () => checkedAt, subsystems: names });
    anomalies = compare(baseline, taken).filter(({ subsystem }) => before.has(subsystem));
  }
  return anomalies.length === 0
    ? { ok: true, checkedAt, snapshot: taken }
    : { ok: false, checkedAt, snapshot: taken, anomalies };
}

/** One subsystem: Log. Two: Degrade. Three and more: Safe_mode. */
export function defaultHandler(anomalies: readonly Anomaly[]): IsolationSeverity {
  if (anomalies.length >= 3) return "Safe_mode";
  return anomalies.length === 2 ? "Degrade" : "Log";
}

/** Checks at every interval until the signal comes; resolves then. It keeps no process alive. */
export async function startDaemon(options: DaemonOptions): Promise<void> {
  const { procfs: source, baseline, interval = DEFAULT_INTERVAL_MS, signal, onAnomaly = defaultHandler } = options;
  if (!(interval >= 1)) throw new RimonError("RIMON_USAGE", `an interval is at least 1 ms, got ${interval}`);
  const how = options.clock === undefined ? {} : { clock: options.clock };
  const due = createDue(options.subsystems ?? Object.keys(baseline.subsystems));
  if (signal?.aborted === true) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setInterval(() => {
      try {
        const checked = check(baseline, source, { ...how, subsystems: due(performance.now()) });
        if (!checked.ok) options.onSeverity?.(onAnomaly(checked.anomalies), checked.anomalies);
      } catch (thrown) {
        clearInterval(timer);
        reject(thrown);
      }
    }, interval);
    timer.unref();
    signal?.addEventListener(
      "abort",
      () => {
        clearInterval(timer);
        resolve();
      },
      { once: true },
    );
  });
}

/**
 * Which of these subsystems are to be looked at now: all but those that cost much and were looked at not long ago. Time is
 * any clock's milliseconds.
 */
export function createDue(names: readonly string[]): (nowMs: number) => readonly string[] {
  const lookedAt = new Map<string, number>();
  return (nowMs) =>
    names.filter((name) => {
      const { everyMs = 0 } = subsystemNamed(name) ?? {};
      if (nowMs - (lookedAt.get(name) ?? -Infinity) < everyMs) return false;
      lookedAt.set(name, nowMs);
      return true;
    });
}

/** The text "code" of what the addon read. */
export function codeTextOf(records: Buffer): Uint8Array {
  const readings = decodeRecords(records).filter((record) => record.kind === "code-text");
  if (readings.length === 0) throw new RimonError("RIMON_NATIVE", "there is no code: no such process, or it has ended");
  return Buffer.from(codeText(readings));
}

function choose(names: readonly string[] | undefined): readonly Subsystem[] {
  return (names ?? subsystems).map((name) => {
    const found = subsystemNamed(name);
    if (found === undefined)
      throw new RimonError(
        "RIMON_USAGE",
        `there is no subsystem "${name}"; expected one of ${SUBSYSTEMS.map((each) => each.name).join(", ")}`,
      );
    return found;
  });
}

type Reader = (pid: number | "self") => Uint8Array;

const SYSCTLS = [
  "fs.protected_fifos",
  "fs.protected_hardlinks",
  "fs.protected_regular",
  "fs.protected_symlinks",
  "fs.suid_dumpable",
  "kernel.core_pattern",
  "kernel.dmesg_restrict",
  "kernel.kexec_load_disabled",
  "kernel.kptr_restrict",
  "kernel.modprobe",
  "kernel.modules_disabled",
  "kernel.perf_event_paranoid",
  "kernel.randomize_va_space",
  "kernel.sysrq",
  "kernel.unprivileged_bpf_disabled",
  "kernel.unprivileged_userns_clone",
  "kernel.yama.ptrace_scope",
  "net.core.bpf_jit_harden",
  "user.max_user_namespaces",
  "vm.mmap_min_addr",
  "vm.unprivileged_userfaultfd",
];

const file = (path: string): Uint8Array => readFileSync(path);
const lines = (each: readonly string[]): Uint8Array => Buffer.from(each.map((line) => `${line}\n`).join(""));

/** Once code is asked for; until the end. */
let opened: Procfs | undefined;

const READERS: Readonly<Record<TextName, Reader>> = {
  maps: (pid) => file(`/proc/${pid}/maps`),
  status: (pid) => file(`/proc/${pid}/status`),
  cgroup: (pid) => file(`/proc/${pid}/cgroup`),
  "cgroup-limits": readCgroupLimits,
  limits: (pid) => file(`/proc/${pid}/limits`),
  coredump_filter: (pid) => file(`/proc/${pid}/coredump_filter`),
  ns: readNamespaces,
  attr: (pid) =>
    lines([
      file(`/proc/${pid}/attr/current`)
        .toString()
        .replace(/[\0\n]+$/, ""),
    ]),
  exe(pid) {
    const path = `/proc/${pid}/exe`;
    const { dev, ino } = statSync(path);
    return lines([`${dev}:${ino} ${readlinkSync(path)}`]);
  },
  stat: (pid) => file(`/proc/${pid}/stat`),
  code(pid) {
    opened ??= requireAddon().addon.openProcfs();
    return codeTextOf(opened.codeNow(pid === "self" ? process.pid : pid));
  },
  threads: readThreads,
  "seccomp-filters"(pid) {
    if (pid === "self" || pid === process.pid) throw new Error("nobody stops itself to look at its filters");
    const filters = decodeRecords(requireAddon().addon.seccompFilters(pid));
    return Buffer.from(seccompFiltersText(filters.filter((record) => record.kind === "seccomp-filter")));
  },
  modules: () => file("/proc/modules"),
  sysctl: () =>
    lines(
      SYSCTLS.flatMap((name) => {
        const value = orUndefined(() => readFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, "utf8").trimEnd());
        return value === undefined ? [] : [`${name} = ${value}`];
      }),
    ),
  lsm: () => lines([file("/sys/kernel/security/lsm").toString()]),
  lockdown: () => file("/sys/kernel/security/lockdown"),
  tainted: () => file("/proc/sys/kernel/tainted"),
  cmdline: () => file("/proc/cmdline"),
  bpf: () => readPrograms(undefined),
};

function identityOf(pid: number | "self"): Identity {
  const boot = orUndefined(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  const stat = orUndefined(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // proc_pid_stat(5): the pid, the name in parentheses, which may hold some itself, and the start time as field 22.
  const startTime = Number(stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  return {
    ...(boot === undefined ? {} : { boot }),
    ...(stat === undefined || !Number.isSafeInteger(startTime) ? {} : { process: { pid: parseInt(stat), startTime } }),
  };
}

function readNamespaces(pid: number | "self"): Uint8Array {
  const folder = `/proc/${pid}/ns`;
  const names = readdirSync(folder).toSorted();
  return lines(names.map((name) => `${name} ${readlinkSync(join(folder, name))}`));
}

function readPrograms(monitor: number | undefined): Uint8Array {
  const own = monitor === undefined ? new Set<number>() : programsHeldBy(monitor);
  const programs = decodeRecords(requireAddon().addon.bpfPrograms()).filter((record) => record.kind === "bpf-program");
  return Buffer.from(bpfText(programs.filter(({ id }) => !own.has(id))));
}

/** By its descriptors of programs and of what they are attached by (kernel/bpf/syscall.c: bpf_prog_show_fdinfo, bpf_link_show_fdinfo). */
function programsHeldBy(pid: number): Set<number> {
  const folder = `/proc/${pid}/fdinfo`;
  const texts = readdirSync(folder).flatMap((fd) => orUndefined(() => readFileSync(join(folder, fd), "latin1")) ?? []);
  return new Set(texts.flatMap((text) => /^prog_id:\s*(\d+)$/m.exec(text)?.[1] ?? []).map(Number));
}

function readThreads(pid: number | "self"): Uint8Array {
  const folder = `/proc/${pid}/task`;
  const all = readdirSync(folder).flatMap((tid) => {
    // It may have ended since.
    const status = orUndefined(() => readFileSync(`${folder}/${tid}/status`, "utf8"));
    if (status === undefined) return [];
    return [THREAD_FIELDS.map((name) => new RegExp(`^${name}:\\s+(\\S+)$`, "m").exec(status)?.[1] ?? "-").join(" ")];
  });
  return Buffer.from(counted(all, "threads"));
}

function readCgroupLimits(pid: number | "self"): Uint8Array {
  const limits = cgroupLimits(
    readFileSync(`/proc/${pid}/cgroup`, "utf8"),
    readFileSync("/proc/self/mountinfo", "utf8"),
    (path) => orUndefined(() => readFileSync(path, "utf8")),
  );
  if (limits === undefined) throw new Error("no hierarchy of control groups is mounted that it is in");
  return lines(limits);
}

function orUndefined<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

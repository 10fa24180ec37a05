// Every fact a sensor can report. An observation is plain data: a recording of them is a test, a bug report and a
// forensics file. `undefined` means unknown, never zero. No observation holds an environment value (but the paths that
// LD_PRELOAD and LD_AUDIT name), a byte of memory (but of code that was changed) or a key.

import type { ProgramExecuted } from "./program-executed.ts";
import type { StateChanged } from "./state-changed.ts";

/** A process for as long as it lives: a pid alone is reused. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat (proc_pid_stat(5)). */
  readonly startTime: number;
}

/** A file as the kernel knows it, whatever its path. */
export interface FileId {
  readonly dev: number;
  readonly inode: number;
}

/** A file as it was at one moment: another size or time means that it was written since. */
export interface FileVersion extends FileId {
  readonly size: number;
  /** Nanoseconds since the epoch. */
  readonly mtimeNs: string;
}

/** One process as it was read, from one pass over its /proc directory. */
export interface Process extends ProcessId {
  readonly parentPid: number;
  readonly comm: string;
  readonly kernelThread: boolean;
  readonly uid?: number;
  readonly euid?: number;
  readonly gid?: number;
  readonly threads?: number;
  /** The tracer of the main thread; 0 is "none". */
  readonly tracerPid?: number;
  /** Effective capabilities, 16 hexadecimal digits. */
  readonly capabilities?: string;
  /** The pid in each nested pid namespace, outermost (ours) first. */
  readonly namespacePids?: readonly number[];
  /** As /proc/PID/exe reads, " (deleted)" included. */
  readonly exe?: string;
  readonly exeFile?: FileVersion;
  /** Cut at 4 KiB. */
  readonly cmdline?: readonly string[];
  /** The unified path, or the name=systemd one on a node with cgroup v1. */
  readonly cgroup?: string;
  readonly pidNamespace?: number;
  readonly mountNamespace?: number;
}

/** What decides whether and how a process can be dumped, and what its loader was told. */
export interface Posture {
  /** "unlimited" or bytes, soft and hard (RLIMIT_CORE). */
  readonly coreLimit?: readonly [soft: string, hard: string];
  /** The bits of /proc/PID/coredump_filter (core(5)). */
  readonly coredumpFilter?: number;
  /** Who owns /proc/PID/stat and its neighbours: the process's own euid if dumpable, root if not (proc(5)). */
  readonly procOwner?: number;
  /** LD_PRELOAD and LD_AUDIT as they stood at exec, split into paths. Absent when environ could not be read. */
  readonly loader?: readonly { readonly name: string; readonly paths: readonly string[] }[];
  /** `loader` may lack some: the environment is longer than is looked at when a program starts (native/bpf/exec.h). */
  readonly loaderCut?: true;
  /** LD_LIBRARY_PATH was set, as it stood at exec. */
  readonly libraryPath?: true;
}

export interface Mapping {
  /** Start and end addresses, hexadecimal. */
  readonly start: string;
  readonly end: string;
  /** "r-xp" and the like (proc_pid_maps(5)). */
  readonly permissions: string;
  readonly offset: number;
  readonly file: FileId;
  /** Empty for anonymous memory. */
  readonly path: string;
}

/** Bytes of code that are not those of the file. */
export interface CodeChange {
  /** Hexadecimal. */
  readonly address: string;
  /** In the file. */
  readonly offset: number;
  readonly length: number;
  /** What is there and what the file has, the first 32 bytes at most, hexadecimal. */
  readonly found: string;
  readonly expected: string;
  /** The function, or where none is known the section, and how far behind its beginning. */
  readonly place?: { readonly name: string; readonly offset: number };
}

/** A page of a file's code that is a copy by now: it was written to. */
export interface CodePage {
  /** Its address, hexadecimal. */
  readonly page: string;
  readonly size: number;
  /** "r-xp" and the like. */
  readonly permissions: string;
  readonly path: string;
  readonly file: FileId;
  /** Of the page, in the file. */
  readonly offset: number;
  /** How many bytes differ; undefined if the page could not be compared with the file. */
  readonly differing?: number;
  /** Where; empty if all bytes are the file's again. At most 16. */
  readonly changes?: readonly CodeChange[];
}

/** Whose instructions a file holds. */
export type Machine = "x86" | "x86-64" | "arm64";

/** The files under /proc/PID whose opening says something. */
export type ProcFile =
  "mem" | "environ" | "maps" | "smaps" | "pagemap" | "map_files" | "auxv" | "stack" | "syscall" | "coredump_filter";

/** What an executable file is, told by its own bytes and not by its name. */
export interface ExecutableTraits {
  /** Imported functions that reach into other processes: ptrace, process_vm_readv, process_vm_writev. */
  readonly imports: readonly string[];
  /** Shared libraries it names (DT_NEEDED). */
  readonly needed: readonly string[];
  /** Names of known debuggers whose own strings stand in the file. */
  readonly marks: readonly string[];
}

/** How the memory of a process was touched from outside of it. */
export type MemoryOperation =
  /** process_vm_readv(2), process_vm_writev(2) */
  | "vm-read"
  | "vm-write"
  /** ptrace(2) PTRACE_PEEK and PTRACE_POKE of memory or user area */
  | "peek"
  | "poke"
  /** A descriptor of /proc/PID/mem, however it was come by. */
  | "mem-read"
  | "mem-write"
  | "environ"
  | "cmdline"
  /** maps, smaps, smaps_rollup, numa_maps */
  | "maps"
  | "pagemap"
  | "map-files"
  /** process_madvise(2) */
  | "advise"
  /** A uprobe was set on it, or removed. */
  | "uprobe"
  /** An eBPF program copied from it (bpf_copy_from_user_task). */
  | "bpf"
  /** move_pages(2), migrate_pages(2) */
  | "move"
  /** The kernel took its lock for another, and it is not known what for. */
  | "unknown";

/** What the kernel was asked for (enum call of native/bpf/calls.h). */
export type Call =
  /** ptrace(2) PTRACE_ATTACH, PTRACE_SEIZE */
  | "attach"
  | "peek"
  | "poke"
  | "registers-read"
  | "registers-write"
  /** process_vm_readv(2), process_vm_writev(2) */
  | "vm-read"
  | "vm-write"
  /** pidfd_getfd(2) */
  | "getfd"
  /** kcmp(2) */
  | "compare"
  /** perf_event_open(2), of a uprobe or of anything else */
  | "probe"
  | "perf"
  /** prlimit(2), of RLIMIT_CORE */
  | "core-limit"
  /** process_madvise(2) */
  | "advise"
  /** prctl(2) PR_SET_DUMPABLE 1 and PR_SET_PTRACER, by the process itself */
  | "dumpable"
  | "tracer"
  /** bpf(2) BPF_PROG_LOAD */
  | "bpf-load"
  /** mprotect(2), or mmap(2) of no file or of one, with PROT_EXEC, by the process itself */
  | "map-code"
  | "map-file";

/** The system call in which a process asked to reach into another. */
export type AccessCall =
  | "ptrace"
  /** process_vm_readv(2), process_vm_writev(2) */
  | "vm-read"
  | "vm-write"
  /** /proc/PID/mem was opened. */
  | "open"
  /** /proc/PID/stack, syscall or personality was read. */
  | "read"
  | "pidfd-getfd"
  | "kcmp"
  /** process_madvise(2) */
  | "advise"
  /** perf_event_open(2) */
  | "perf"
  /** move_pages(2), migrate_pages(2) */
  | "move"
  | "setns"
  | "other";

export type SensorState = "live" | "degraded" | "down" | "unavailable" | "off";

interface Head<Kind extends string> {
  readonly kind: Kind;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The sensor's name. */
  readonly sensor: string;
}

export interface ProcessSeen extends Head<"process.seen"> {
  readonly process: Process;
  /** What led to the reading: a pass over /proc, an exec, or an act this process is named in. */
  readonly by: "scan" | "exec" | "act";
}

export interface ProcessForked extends Head<"process.forked"> {
  readonly pid: number;
  readonly parentPid: number;
}

export interface ProcessExited extends Head<"process.exited"> {
  readonly pid: number;
  readonly startTime?: number;
  readonly exitCode?: number;
  readonly signal?: number;
  readonly dumped?: boolean;
}

/** A thread has a tracer: an event from the connector, or a thread found traced by a scan. */
export interface PtraceAttached extends Head<"ptrace.attached"> {
  readonly pid: number;
  readonly tid: number;
  readonly tracerPid: number;
  readonly startTime?: number;
}

export interface PtraceDetached extends Head<"ptrace.detached"> {
  readonly pid: number;
  readonly tid: number;
}

/** A file of /proc/PID was opened, read or written by a process. */
export interface ProcfsAccessed extends Head<"procfs.accessed"> {
  readonly file: ProcFile;
  readonly access: "open" | "read" | "write" | "held";
  /** Who did it, in our pid namespace. */
  readonly pid: number;
  /** Whose file it is, in our pid namespace; undefined if that procfs belongs to a namespace we could not map. */
  readonly targetPid?: number;
  readonly targetStartTime?: number;
  /** The thread, if it was opened by way of task/TID. */
  readonly targetTid?: number;
  /** As the file is named in our mount namespace, or from the root of its own. */
  readonly path: string;
  /** False for a procfs other than the one rimon itself sees at /proc. */
  readonly ownMount: boolean;
}

/** The memory of a protected process was touched by another: the kernel took its lock for them. */
export interface MemoryTouched extends Head<"memory.touched">, ProcessId {
  readonly operation: MemoryOperation;
  /** Who did it: the process and its thread. */
  readonly byPid: number;
  readonly byTid: number;
  /** What it runs, as the kernel saw it: who was killed is gone before its /proc files can be read. */
  readonly byExeFile?: { readonly dev: number; readonly inode: number };
  /**
   * What the kernel did about it: nothing, killed the toucher before the page was fetched, tried to and failed, or did
   * nothing because rimon gave no sign of life (the dead-man's switch).
   */
  readonly action: "seen" | "killed" | "not-killed" | "asleep";
  /** How many like it were counted and not told since the one before. */
  readonly suppressed: number;
}

/** The kernel was asked for something of a protected process, or of the node; whether it said yes is not known here. */
export interface CallMade extends Head<"call.made"> {
  readonly call: Call;
  /** Whom it is about: the process and its thread; undefined if it is about the node. */
  readonly pid?: number;
  readonly tid?: number;
  readonly startTime?: number;
  readonly byPid: number;
  readonly byTid: number;
  /**
   * getfd: the descriptor. core-limit: the soft limit in bytes. tracer: the pid that may trace. bpf-load: the kind of
   * program (enum bpf_prog_type). A decimal number, since it may have 64 bits.
   */
  readonly argument?: string;
  /** How many like it were counted and not told since the one before. */
  readonly suppressed: number;
}

/** A protected process was sent SIGSTOP, SIGUSR1 or what dumps core; by nobody: by a descriptor set to send it (F_SETSIG). */
export interface SignalSent extends Head<"signal.sent">, ProcessId {
  readonly signal: number;
  readonly byPid?: number;
  readonly byTid?: number;
  readonly suppressed: number;
}

/** A process asked the kernel to let it reach into a protected one (ptrace(2), "Ptrace access mode checking"). */
export interface AccessChecked extends Head<"access.checked">, ProcessId {
  /** The thread that was meant. */
  readonly tid: number;
  readonly byPid: number;
  readonly byTid: number;
  readonly call: AccessCall;
  /** PTRACE_MODE_ATTACH; false for what gives less than an attach would (kcmp, perf_event_open). */
  readonly attach: boolean;
  /** What rimon's check in the kernel did: nothing, refused it, or nothing because rimon gave no sign of life. */
  readonly action: "seen" | "refused" | "asleep";
  /** How many like it were counted and not told since the one before. */
  readonly suppressed: number;
}

/** The memory of the whole machine was opened, read or written: that of the kernel, and of every process. */
export interface MachineMemoryOpened extends Head<"machine-memory.opened"> {
  /** /proc/kcore; or physical memory and ports: /dev/mem, /dev/kmem, /dev/port. */
  readonly memory: "kcore" | "device";
  readonly access: "open" | "read" | "write";
  /** Who did it, in our pid namespace. */
  readonly pid: number;
  readonly tid?: number;
  /** Undefined where the kernel was asked and not a mark: whichever node it was. */
  readonly path?: string;
  /** What rimon's check in the kernel did: nothing, refused it, or nothing because rimon gave no sign of life. */
  readonly action: "seen" | "refused" | "asleep";
  /** How many like it were counted and not told since the one before. */
  readonly suppressed: number;
}

/** A kernel setting under /proc/sys was written, or was about to be; what is in force follows in a `setting.seen`. */
export interface SysctlWritten extends Head<"sysctl.written"> {
  readonly name: string;
  readonly pid: number;
  /**
   * What rimon's check in front of the write did: nothing, refused it, or nothing because rimon gave no sign of life.
   * Undefined if it was told by a mark, once it was done.
   */
  readonly action?: "seen" | "refused" | "asleep";
  /** What was to be written, where the check told it. */
  readonly value?: string;
  /** How many like it were counted and not told since the one before. */
  readonly suppressed?: number;
}

/** The value of a node-wide setting, as polled: kernel.core_pattern, /etc/ld.so.preload. */
export interface SettingSeen extends Head<"setting.seen"> {
  readonly setting: "kernel.core_pattern" | "fs.suid_dumpable" | "kernel.yama.ptrace_scope" | "/etc/ld.so.preload";
  /** Undefined if it is not there. */
  readonly value?: string;
}

export interface ProcessDumping extends Head<"process.dumping"> {
  readonly pid: number;
  readonly tid: number;
}

export interface PostureSeen extends Head<"posture.seen">, ProcessId {
  readonly posture: Posture;
}

/** The executable and file-backed view of one address space. */
export interface MapsSeen extends Head<"maps.seen">, ProcessId {
  /** Keyed digest of the normalised view; only equality means anything. */
  readonly digest: string;
  readonly mappings: readonly Mapping[];
}

export interface CodePageSeen extends Head<"code-page.seen">, ProcessId, CodePage {
  readonly machine?: Machine;
}

/** Uprobes in the code of a protected process, of one file and from one source, and the kernel says which. */
export interface UprobeSeen extends Head<"uprobe.seen">, ProcessId {
  /** The file as the process has it mapped. */
  readonly path: string;
  readonly file: FileId;
  /** Where, the first 16. */
  readonly probes: readonly {
    /** In the file. */
    readonly offset: number;
    readonly place?: CodeChange["place"];
    /** It is on the function's return. */
    readonly returns: boolean;
  }[];
  /** How many there are. */
  readonly count: number;
  /** A perf event with an eBPF program, an eBPF link, or an event defined in tracefs. */
  readonly by: "perf" | "link" | "event";
  /** Of the event, "group/name". */
  readonly name?: string;
  /** Who holds it; undefined if no process does, or it cannot be told which. */
  readonly byPid?: number;
  readonly byStartTime?: number;
}

/** A process holds a private-key file open. */
export interface KeyFileHeld extends Head<"key-file.held">, ProcessId {
  readonly path: string;
}

export interface ExecutableIdentified extends Head<"executable.identified"> {
  readonly file: FileVersion;
  readonly path: string;
  readonly traits: ExecutableTraits;
  /** Hexadecimal; only of files that an exception names by hash. */
  readonly sha256?: string;
  /** st_ctime in nanoseconds, of a file that was hashed: unlike st_mtime nobody can set it back. */
  readonly changedNs?: string;
}

/** One of rimon's own files was changed by somebody else, or is no longer the same file. */
export interface OwnFileChanged extends Head<"own-file.changed"> {
  readonly path: string;
  readonly role: "program" | "configuration" | "audit" | "key";
  readonly change: "written" | "replaced" | "removed" | "mode" | "truncated";
  /** Undefined if only the result was seen. */
  readonly pid?: number;
}

export interface ProcfsMounted extends Head<"procfs.mounted"> {
  readonly path: string;
  readonly dev: number;
  readonly mountNamespace?: number;
  readonly marked: boolean;
  /** Why it is not marked, if it is not. */
  readonly reason?: string;
}

export interface SensorReported extends Head<"sensor.state"> {
  readonly state: SensorState;
  readonly reason?: string;
}

export interface SensorLost extends Head<"sensor.lost"> {
  /** Undefined if the kernel only says that some were lost. */
  readonly count?: number;
  readonly reason: string;
}

/** The spine's clock: retires what is old, closes groups. */
export interface Tick extends Head<"tick"> {}

/** A spool is full, the audit log cannot be written: the monitor's own trouble, as a fact like any other. */
export interface SelfTroubled extends Head<"self.troubled"> {
  readonly part: "audit" | "spool" | "action" | "inspector" | "enforce" | "recording" | "output" | "pass";
  readonly message: string;
  readonly recovered: boolean;
}

export type Observation =
  | ProcessSeen
  | ProgramExecuted
  | ProcessForked
  | ProcessExited
  | PtraceAttached
  | PtraceDetached
  | ProcfsAccessed
  | MemoryTouched
  | AccessChecked
  | CallMade
  | SignalSent
  | MachineMemoryOpened
  | SysctlWritten
  | SettingSeen
  | StateChanged
  | ProcessDumping
  | PostureSeen
  | MapsSeen
  | CodePageSeen
  | UprobeSeen
  | KeyFileHeld
  | ExecutableIdentified
  | OwnFileChanged
  | ProcfsMounted
  | SensorReported
  | SensorLost
  | SelfTroubled
  | Tick;

export type ObservationOf<Kind extends Observation["kind"]> = Extract<Observation, { kind: Kind }>;

/** The key under which a process is remembered. */
export function processKey(id: ProcessId): string {
  return `${id.pid}:${id.startTime}`;
}

// What the records of native/record.h say, once they are read. Types, and the one table of numbers that goes both ways.

import type { GateMode, GateReason } from "./exec-judged.ts";
import type {
  AccessCall,
  AccessChecked,
  Call,
  CodePage,
  FileId,
  MachineMemoryOpened,
  Mapping,
  MemoryOperation,
  MemoryTouched,
  Posture,
  ProcFile,
  Process,
  ProcessId,
  UprobeSeen,
} from "./observation.ts";

export type ProcessEventName = "fork" | "exec" | "exit" | "traced" | "dumping" | "comm";

export interface ProcessRecord {
  readonly kind: "process";
  readonly process: Process;
  /** As far as it was asked for. */
  readonly posture?: Posture;
  /** Changes with every exec. */
  readonly execId?: number;
}

/** What tells whether a process is the one that it was, and runs what it ran; undefined: not known. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: number;
  readonly parentPid: number;
  /** A character a byte. */
  readonly comm: string;
  readonly execId: number | undefined;
  readonly exeInode: number | undefined;
  readonly mountNamespace: number | undefined;
}

export interface ProcessTable {
  readonly processes: readonly ProcessIdentity[];
  readonly threads: readonly ThreadRecord[];
}

/** A thread that is traced. */
export interface ThreadRecord {
  readonly kind: "thread";
  /** The process and its start time. */
  readonly pid: number;
  readonly startTime: number;
  readonly tid: number;
  readonly tracerPid: number;
}

/** From the process connector; which process `otherPid` is, and what `code` says, stands in record.h. */
export interface ProcessEventRecord {
  readonly kind: "process-event";
  readonly event: ProcessEventName;
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint;
  readonly pid: number;
  readonly tid: number;
  readonly otherPid: number;
  readonly otherTid: number;
  readonly code: number;
}

export interface ProcFileRecord {
  readonly kind: "proc-file";
  readonly file: ProcFile | "sysctl";
  readonly opened: boolean;
  readonly read: boolean;
  readonly written: boolean;
  /** The procfs it is on. */
  readonly dev: number;
  /** Who; 0 if it is of a pid namespace that ours does not see. */
  readonly pid: number;
  /** As that procfs numbers it; 0 for a sysctl. */
  readonly targetPid: number;
  readonly targetTid?: number;
  readonly targetStartTime?: number;
  readonly path: string;
}

export interface FileRecord {
  readonly kind: "file";
  readonly dev: number;
  readonly inode: number;
  /** False: its attributes changed, or its name. Of which marked file is then not told: dev and inode are 0, the path is "". */
  readonly written: boolean;
  readonly pid: number;
  readonly path: string;
}

/** A watched file was changed; several at once happened in the order of the fields. */
export interface FileChangeRecord {
  readonly kind: "file-change";
  /** CLOCK_MONOTONIC, when the first of them was read. */
  readonly timeNs: bigint;
  /** Who; 0: of a pid namespace that ours does not see. */
  readonly pid: number;
  /** Undefined if that process was gone. */
  readonly startTime?: number;
  readonly created: boolean;
  readonly written: boolean;
  /** It was closed after it was open for writing. */
  readonly closed: boolean;
  readonly attributes: boolean;
  readonly moved: boolean;
  readonly removed: boolean;
  /** What was changed is a folder. */
  readonly folder: boolean;
  /** It was moved out of what is watched, or into it. */
  readonly toOutside: boolean;
  readonly fromOutside: boolean;
  /** By inotify, which does not say who: `pid` is 0. */
  readonly nameless: boolean;
  /** How many events this was. */
  readonly count: number;
  /** Bytes, as all names of files are. */
  readonly path: Buffer;
  /** Where it was before it was moved; undefined if that could not be told any more. */
  readonly from?: Buffer;
}

export interface MountsRecord {
  readonly kind: "mounts";
  readonly id: number;
}

export interface LostRecord {
  readonly kind: "lost";
  readonly source:
    | "connector"
    | "files"
    | "queue"
    | "memory"
    | "exec"
    | "calls"
    | "signals"
    | "access"
    | "sysctl"
    | "file-events"
    | "file-changes"
    | "gate";
  /** Undefined if the kernel only says that some were lost. */
  readonly count?: number;
}

/** What the exec gate did not allow, or could not judge. */
export interface GateRecord {
  readonly kind: "gate";
  /** 0 if it is of another pid namespace. */
  readonly pid: number;
  /** Undefined if it was gone. */
  readonly startTime?: number;
  readonly parentPid?: number;
  readonly comm?: string;
  readonly uid: number;
  /** The number of the rule; undefined: of none. */
  readonly rule?: number;
  readonly denied: boolean;
  readonly mode: GateMode;
  readonly reason: GateReason;
  /** Opened by an interpreter or a loader, and not executed. */
  readonly opened: boolean;
  /** Undefined if the file was not read to its end. */
  readonly sha256?: string;
  /** As the mounts of who asked have it. */
  readonly path: string;
  /** The executable of who asked. */
  readonly by: string;
  readonly file: FileId & { readonly size: number; readonly owner: number };
  readonly error?: string;
}

/** A protected address space was touched from outside. */
export interface MemoryRecord {
  readonly kind: "memory";
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint;
  readonly operation: MemoryOperation;
  readonly action: MemoryTouched["action"];
  readonly pid: number;
  readonly tid: number;
  readonly targetPid: number;
  readonly targetStartTime: number;
  readonly suppressed: number;
  /** The number of the system call it happened in. */
  readonly syscall: number;
  /** What `pid` runs, as far as the kernel said so. */
  readonly exeFile?: { readonly dev: number; readonly inode: number };
}

/** The kernel was asked for something of a protected process, or of the node: `targetPid` 0. */
export interface CallRecord {
  readonly kind: "call";
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint;
  readonly call: Call;
  readonly pid: number;
  readonly tid: number;
  readonly targetPid: number;
  readonly targetTid: number;
  readonly targetStartTime: number;
  /** What it says of each call stands in native/bpf/calls.h; not every call has one, nor could each be read. */
  readonly argument?: bigint;
  readonly suppressed: number;
}

export interface SignalRecord {
  readonly kind: "signal";
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint;
  readonly signal: number;
  /** 0, as `tid`: a descriptor that was set to send it. */
  readonly pid: number;
  readonly tid: number;
  readonly targetPid: number;
  readonly targetStartTime: number;
  readonly suppressed: number;
}

/** The memory of the machine, by a mark (which has a path) or by the check in the kernel. */
export interface MachineMemoryRecord extends Pick<
  MachineMemoryOpened,
  "memory" | "access" | "action" | "suppressed" | "pid" | "tid" | "path"
> {
  readonly kind: "machine-memory";
  /** CLOCK_MONOTONIC; undefined where a mark told it. */
  readonly timeNs?: bigint;
}

/** A setting was about to be written. */
export interface SysctlRecord {
  readonly kind: "sysctl";
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint;
  readonly suppressed: number;
  readonly setting: "kernel.core_pattern" | "fs.suid_dumpable";
  readonly action: MachineMemoryOpened["action"];
  readonly pid: number;
  readonly tid: number;
  readonly value: string;
}

/** What is out of the ordinary with a program that was started. */
export interface ExecRecord {
  readonly kind: "exec";
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint;
  readonly pid: number;
  readonly startTime: number;
  /** The file's own. */
  readonly name: string;
  /** It has no name on any filesystem. */
  readonly unlinked: boolean;
  /** It lies in the upper layer of an overlayfs. */
  readonly upper: boolean;
  /** What its loader is told. */
  readonly posture: Pick<Posture, "loader" | "loaderCut" | "libraryPath">;
}

/** Another process asked to reach into a protected one. */
export interface AccessRecord {
  readonly kind: "access";
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint;
  readonly call: AccessCall;
  readonly action: AccessChecked["action"];
  readonly attach: boolean;
  readonly pid: number;
  readonly tid: number;
  readonly targetPid: number;
  readonly targetTid: number;
  readonly targetStartTime: number;
  readonly suppressed: number;
}

export interface MapsRecord {
  readonly kind: "maps";
  readonly pid: number;
  readonly startTime: number;
  readonly digest: bigint;
  /** Undefined if the digest is the one the caller knew. */
  readonly mappings?: readonly Mapping[];
}

export interface OpenFileRecord {
  readonly kind: "open-file";
  readonly pid: number;
  readonly startTime: number;
  readonly fd: number;
  readonly path: string;
}

export interface CodePagesRecord {
  readonly kind: "code-pages";
  readonly pid: number;
  readonly startTime: number;
  readonly byPagemap: boolean;
  /** How many more there are, which were not compared. */
  readonly unread: number;
  /** False if the memory of the process may not be read: then nothing was compared. */
  readonly readable: boolean;
  /** `mapping` is "start-end", as in map_files. */
  readonly pages: readonly (CodePage & { readonly mapping: string })[];
}

/** How two readings of the same code differ. */
export interface CodeDifference {
  readonly pages: number;
  readonly bits: number;
}

/** Code of a file as one process has it mapped. What it cannot be compared with is undefined. */
export interface CodeTextRecord {
  readonly kind: "code-text";
  readonly path: string;
  readonly file: CodePage["file"];
  readonly offset: number;
  readonly length: number;
  /** SHA-256 of what the process executes, hexadecimal; undefined: the file cannot be read. */
  readonly executed?: string;
  readonly cached?: string;
  readonly stored?: string;
  /** What it executes, from the page cache. */
  readonly memory?: CodeDifference;
  /** The disk, from the page cache. */
  readonly disk?: CodeDifference;
}

export interface BpfProgramRecord {
  readonly kind: "bpf-program";
  readonly id: number;
  /** A number of enum bpf_prog_type. */
  readonly type: number;
  /** Hexadecimal; the same instructions have the same. */
  readonly tag: string;
  readonly uid: number;
  readonly name: string;
}

export interface SeccompFilterRecord {
  readonly kind: "seccomp-filter";
  readonly instructions: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export interface UprobeRecord {
  readonly kind: "uprobe";
  /** As whoever set it named the file. */
  readonly path: string;
  readonly offset: number;
  readonly source: UprobeSeen["by"];
  readonly returns: boolean;
  /** Of an event of tracefs. */
  readonly name?: string;
  /** Undefined if no process holds it, or none that is known. */
  readonly holder?: ProcessId;
}

/** Behind them: the errno of what could not be asked for, 0 if it could. */
export interface UprobesRecord {
  readonly kind: "uprobes";
  readonly errors: { readonly descriptors: number; readonly links: number; readonly events: number };
}

export type NativeRecord =
  | ProcessRecord
  | ThreadRecord
  | ProcessEventRecord
  | ProcFileRecord
  | FileRecord
  | FileChangeRecord
  | MountsRecord
  | GateRecord
  | LostRecord
  | MemoryRecord
  | AccessRecord
  | ExecRecord
  | CallRecord
  | SignalRecord
  | MachineMemoryRecord
  | SysctlRecord
  | MapsRecord
  | OpenFileRecord
  | CodePagesRecord
  | CodeTextRecord
  | BpfProgramRecord
  | SeccompFilterRecord
  | UprobeRecord
  | UprobesRecord;

/** The number of each operation in native/bpf/memory.h: what a `memory` record says, and the bit that refuses it. */
export const MEMORY_OPERATION = {
  unknown: 0,
  "vm-read": 1,
  "vm-write": 2,
  peek: 3,
  poke: 4,
  "mem-read": 5,
  "mem-write": 6,
  environ: 7,
  cmdline: 8,
  maps: 9,
  pagemap: 10,
  "map-files": 11,
  advise: 12,
  uprobe: 13,
  bpf: 14,
  move: 15,
} as const;

/** The bit of each rule whose acts the access check refuses (ACCESS_REFUSE_* of native/bpf/access.h, from bit 32 on). */
export const ACCESS_REFUSED = {
  "memory-read": 1n << 32n,
  "ptrace-attach": 1n << 33n,
} as const;

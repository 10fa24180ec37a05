// The addon, typed. The only file that loads a binary. On a platform without it everything says so and nothing throws
// on import.

import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { RimonError, reasonOf } from "./errors.ts";
import { ROOT } from "./package.ts";

/** What a pass over /proc reads besides /proc/PID/stat; bits to be combined. */
export const WANT = {
  status: 1 << 0,
  exe: 1 << 1,
  cmdline: 1 << 2,
  cgroup: 1 << 3,
  namespaces: 1 << 4,
  /** One record for each thread that is traced. */
  traced: 1 << 5,
  /** LD_PRELOAD and LD_AUDIT out of environ. */
  loader: 1 << 6,
  /** RLIMIT_CORE, coredump_filter, the owner of the /proc files. */
  dump: 1 << 7,
} as const;

/** A private or the visible procfs, opened once. */
export interface Procfs {
  /** Whole table, or the pids named. Off the event loop. Records of records.ts. */
  scan(want: number, pids?: Uint32Array): Promise<Buffer>;
  /**
   * The whole table as the kernel walks its tasks: the same records in a fraction of the time. Of `want` it knows status,
   * exe, namespaces and traced. Throws where eBPF is not to be had, with `code` set to the errno name and what is missing.
   */
  walk(want: number): Promise<Buffer>;
  /** Executable and W+X mappings of one process, headed by their digest; only the digest if it equals `known`. */
  maps(pid: number, known?: bigint): Promise<Buffer>;
  /** Descriptors whose link ends in one of `suffixes`, of all processes or the pids named. */
  openFiles(suffixes: readonly string[], pids?: Uint32Array): Promise<Buffer>;
  /**
   * Pages of code of one process that do not come from their file any more, and where they differ from it. `byPagemap`:
   * the way of kernels without PAGEMAP_SCAN.
   */
  codePages(pid: number, byPagemap?: boolean): Promise<Buffer>;
  /**
   * The code of each file that one process has mapped, as it executes it, as the page cache has it and as the disk has it.
   * Reads all of it: about a gigabyte a second where it is cached, and as fast as the disk is.
   */
  code(pid: number): Promise<Buffer>;
  /** The same, on the event loop. */
  codeNow(pid: number): Buffer;
  /** Every uprobe that the kernel tells of, with its holder, and what could not be asked for. */
  uprobes(): Promise<Buffer>;
  /** True if this is a procfs of rimon's own, which no mark of ours reports. */
  readonly isPrivate: boolean;
  close(): void;
}

export interface WatchSources {
  /** Attach the netlink process connector. */
  readonly connector: boolean;
  /** Open the fanotify group. */
  readonly files: boolean;
  /** Load the eBPF programs that see who touches protected memory. */
  readonly memory?: boolean;
  /** Load the eBPF program that is asked before anybody reaches into a protected process. */
  readonly access?: boolean;
  /** Load those that see system calls about protected processes. */
  readonly calls?: boolean;
  /** Load those that see signals to protected processes. */
  readonly signals?: boolean;
  /** Load the eBPF program that sees every program that is started. */
  readonly exec?: boolean;
  /** Whether the one that stands in front of settings may be loaded, once guardSettings() asks for it. */
  readonly sysctl?: boolean;
}

export interface Watch {
  /** Marks the superblock that the path or the descriptor's path is on; returns its st_dev. Throws with `code` set to the errno name. */
  markProcfs(path: string): { dev: number; pidNamespace: number };
  /** Lets go of a procfs that is no longer mounted. */
  unmarkProcfs(dev: number): void;
  /** Marks one file for writes by others. */
  markFile(path: string): FileMark;
  unmarkFile(path: string): void;
  /** Watches a mountinfo file for changes; the id comes back in mounts records. */
  watchMounts(path: string, id: number): void;
  unwatchMounts(id: number): void;
  /** Protects processes: pid, start time and the bits of what is to be refused (1 << MEMORY_OPERATION, ACCESS_REFUSED), three numbers each. */
  protect(targets: BigUint64Array): void;
  unprotect(pid: number): void;
  /** Whom the kernel side takes for protected now: also what was forked since, and some twice. */
  protected(): Uint32Array;
  /** Whether system calls are looked at: off until asked for, since then each of the node costs a little more. */
  listen(on: boolean): void;
  /**
   * Whether what is to be refused is refused, or only told; the memory of the whole machine only if `machine`. With
   * `family`, a pid, not even what descends from rimon is spared, and the machine's memory is refused only to what
   * descends from that process.
   */
  enforce(on: boolean, family?: number, machine?: boolean): void;
  /** A sign of life: ten seconds without one, and the kernel only watches. */
  beat(): void;
  /** The executables that are never refused anything, in place of those named before: st_dev and inode of each. */
  exempt(files: BigUint64Array): void;
  /**
   * Has writes of what decides about core dumps refused, and told, but not to these executables; below `cgroup`, or to
   * everybody. Each call is a sign of life. What fails is told by the status.
   */
  guardSettings(exempt: BigUint64Array, family: boolean, cgroup?: string): void;
  leaveSettings(): void;
  /**
   * Has a thread of its own tell who changes which file, by `file-change` records; nothing until aimed and marked. `level`:
   * 0 by inotify, 1 as Linux 5.9 has it, 2 as 5.15 (who did it is certain), 3 as 5.17 (a move is one event). Returns why
   * there is no fanotify, if there is none: then nothing can be marked, and folders are walked. What else fails is told by
   * the status.
   */
  openChanges(level?: number): string | undefined;
  /** What is told: these paths and all below, but for what is below a longer one of the others. Replaces what was before. */
  aimChanges(included: readonly string[], excluded: readonly string[]): void;
  /** Marks the filesystem of this path. Throws with `code` set to the errno name: ENOTSUP, ENODEV or EXDEV if it cannot tell. */
  markChanges(path: string): void;
  /**
   * Has a folder and all below it told by inotify, which names nobody, as far as it was aimed at. Throws with `code` set to
   * the errno name; ENOSPC: there are no watches left (fs.inotify.max_user_watches).
   */
  walkChanges(path: string): void;
  /** What each source lost so far, and the state it is in; `dropped` counts records JavaScript did not take in time. */
  status(): WatchStatus;
  close(): void;
}

export interface WatchStatus extends Readonly<Record<keyof WatchSources | "changes", SourceStatus>> {
  readonly dropped: number;
  /** Every system call of the node is looked at, since this kernel has no hooks at those that matter alone. */
  readonly callsAtEntry: boolean;
}

export const GATE_MODE = { learn: 1, audit: 2, enforce: 3 } as const;

/** Answers, on threads of its own, what is executed on file systems that are marked. */
export interface Gate {
  /** A table of src/baselines/gate-table.ts in place of the one before. Throws EINVAL if it is none. */
  load(table: Buffer): void;
  /**
   * The whole file system that is mounted there for this process (0: for us), by its number in mountinfo; its st_dev,
   * and whether it had no mark before. Throws ENODEV if another is mounted there, or none. `opens`: also what interpreters
   * open, and ELF files.
   */
  mark(pid: number, path: string, mount: number, mode: number, opens: boolean): { dev: number; isNew: boolean };
  /** `dev` as mark() gave it; the path may lead elsewhere by now. */
  unmark(pid: number, path: string, dev: number): void;
  /**
   * Where what a process has at that path lies ("": its executable). No file system is asked, since one that does not
   * answer would hold us up: EAGAIN if the kernel does not have it in memory.
   */
  place(pid: number, path: string): GatePlace;
  /** A gate record: what the table in force says of it. Reads it; blocks. ENODEV if it is no longer on that mount. */
  look(pid: number, path: string, mount: number, uid: number, by: string): Buffer;
  /** Whether what descends from the table's updaters may run anything. */
  upgrade(on: boolean): void;
  status(): GateStatus;
  /** Whoever waits goes on. */
  close(): void;
}

export interface GatePlace {
  /** Its number in mountinfo. */
  readonly mount: number;
  readonly dev: number;
  readonly inode: number;
  readonly size: number;
  readonly owner: number;
  /** Whether its file system has a mark of this gate, now. */
  readonly isMarked: boolean;
}

/** Counts since it was opened, but `queued` and `busy`, which are now; see struct exec_gate_status of native/rimon.h. */
export interface GateStatus {
  readonly events: number;
  readonly allowed: number;
  readonly denied: number;
  readonly wouldDeny: number;
  readonly unanswered: number;
  readonly spared: number;
  readonly hashed: number;
  readonly hashedBytes: number;
  /** Answered without reading the file again. */
  readonly remembered: number;
  /** Left to the kernel until the file is changed. */
  readonly settled: number;
  readonly unsettled: number;
  readonly lost: number;
  readonly overflows: number;
  /** The kernel could not open the file for the gate, and refused it: it is under a lease, or there are too many open files. */
  readonly unopened: number;
  /** The errno name, of the last one. */
  readonly unopenedError?: string;
  readonly longestNs: number;
  /** Of those unanswered: by the deputy, while all of rimon stood still. */
  readonly stoodIn: number;
  /** Whether there is one. */
  readonly hasDeputy: boolean;
  readonly queued: number;
  readonly busy: number;
  /** The errno name, if its memory may be paged out. */
  readonly lockError?: string;
}

export interface FileMark {
  readonly dev: number;
  readonly inode: number;
}

export interface SourceStatus {
  readonly live: boolean;
  /** The errno name and what failed, if it is not live. */
  readonly reason?: string;
  readonly events: number;
  /** How often the kernel lost events of this source; each time was also told by a "lost" record. */
  readonly lost: number;
  /** Events whose file could no longer be opened, as a rule because its process was gone. */
  readonly unreadable: number;
}

/** A walk over files: entries (struct file_entry_record) in the order of their paths. */
export interface FileWalk {
  /**
   * Some 256 KiB of whole entries, or the rest; empty at the end. How many bytes of `into` they are, or, where it is too small,
   * a Buffer: of what C allocates the collector of garbage would leave much lying. Rejects with ECANCELED once it is closed.
   */
  next(into: Buffer): Promise<number | Buffer>;
  /**
   * In place of next(): pairs of what was and what is (struct file_pair of native/files.h), some 256 KiB or the rest; empty:
   * it is hungry, or that was all. One call at a time; rejects with EBADMSG if what was given is no entries.
   */
  compare(into: Buffer): Promise<number | Buffer>;
  /** It goes on only with more of what was. */
  isHungry(): boolean;
  /** More of what was, copied; nothing: that was all of it. Not while it compares. */
  give(before: Buffer): void;
  /** How many more bytes of content may be read, where the walk waits to be allowed. */
  allow(bytes: number): void;
  progress(): { readonly entries: number; readonly bytes: number; readonly vanished: number };
  close(): void;
}

export interface Addon {
  readonly recordVersion: number;
  openProcfs(): Procfs;
  /** Batches arrive on the event loop as packed records; a batch is never larger than 1 MiB. */
  openWatch(sources: WatchSources, procfs: Procfs, onBatch: (batch: Buffer) => void): Watch;
  /** Sends a signal to exactly this process: by pidfd, the start time checked after opening it. */
  signalProcess(pid: number, startTime: number, signal: number): "sent" | "gone" | "reused";
  /** Records of the eBPF programs that are loaded; needs CAP_SYS_ADMIN or CAP_BPF. */
  bpfPrograms(): Buffer;
  /**
   * Records of the seccomp filters of a process. It is stopped for a moment, as by a debugger; needs CAP_SYS_ADMIN, and
   * does not work from under a seccomp filter.
   */
  seccompFilters(pid: number): Buffer;
  /** The places in `marks` of those that stand in these bytes, rising; of 1 to 64 marks, each at least two bytes long. */
  findMarks(bytes: Buffer, marks: readonly Buffer[]): number[];
  /** Not dumpable, no core file. */
  harden(): void;
  /** Resident memory that only the start needed, as far as the kernel lets this process see its own mappings. */
  giveBack(): void;
  /** Effective capabilities of the caller as names without CAP_, lower case: "sys_ptrace". */
  capabilities(): string[];
  /** Replaces this process by `path` with these capabilities only (bounding set reduced); `args` without argv[0]. Returns only by throwing. */
  execWithCapabilities(path: string, args: readonly string[], env: readonly string[], keep: readonly string[]): never;
}

/** An addon by itself, loaded once files are walked or checked before they run. */
export interface FilesAddon {
  /**
   * Starts threads that walk: roots (each with its NUL), rules (each how, a pattern and a NUL: FILE_RULE_* of rimon.h), then
   * flags (FILE_WALK_*), threads, the largest size that is read, whether it waits to be allowed to read, and how it is
   * compared (FILE_MERGE_*); `limits` says of each root how many of its bytes count.
   */
  openFileWalk(roots: Buffer, rules: Buffer, how: BigUint64Array, limits?: BigUint64Array): FileWalk;
  /** The exec gate, which allows everything until it has a table and marks. Batches are of gate, mounts (id 0) and lost records. */
  openGate(onBatch: (batch: Buffer) => void): Gate;
  /** A gate record: what the table says of this file, run by `uid` from the executable `by` ("": unknown). Reads it; blocks. */
  gateTry(table: Buffer, path: string, uid: number, by: string): Buffer;
}

/** One that no monitor loads. */
export interface DrillAddon {
  /** The primitives of the drill; each acts on the process it is given and on nothing else. */
  readonly attack: Attack;
  /** What the bench has done in C, by the numbers of native/bench.h; src/bench/primitives.ts has them by name. Blocks. */
  bench(how: BigUint64Array, into: Buffer, ...bytes: readonly Buffer[]): void;
}

/** What a decoy does to itself, so that there is something to be had. */
export interface DecoyActs {
  /** 32 random bytes in the addon's own data; `codeAddress` is a function nobody calls. */
  secret(): { address: bigint; bytes: Buffer; codeAddress: bigint };
  /** A second thread that sleeps until the process ends; its tid. */
  startThread(): number;
  /** One that has the secret on its stack and works now and then; its tid. */
  startComputing(): number;
  /** A copy of the secret below 4 GiB; x64 only. */
  lowCopy(): bigint;
  /** A connected socket in which the secret waits to be read; its descriptor. */
  holdSocket(): number;
  /** Makes the page of the secret writable and executable. */
  openPage(): void;
  becomeDumpable(): void;
  /** RLIMIT_CORE 0; the hard limit stays. */
  lowerCoreLimit(): void;
}

/**
 * What an attacker does. Every call that reads returns the bytes it got; ENOSYS also says that this kernel has no such
 * thing.
 */
export interface Attack extends DecoyActs {
  /** The first 4096 bytes of a file, shared: what is read into them stays when the reader is killed. */
  share(path: string): Buffer;
  ptraceAttach(pid: number, address: bigint, into: number | Buffer): Buffer;
  ptraceSeize(pid: number, address: bigint, into: number | Buffer): Buffer;
  /** Becomes the thread's tracer and lets it run, without its seccomp filter if that is asked for and allowed. */
  ptraceHold(tid: number, suspendSeccomp: boolean): void;
  /** Of a thread that is held, as the two that follow. */
  ptracePeek(tid: number, address: bigint, into: number | Buffer): Buffer;
  ptraceRegisters(tid: number, into: number | Buffer): Buffer;
  ptraceRelease(tid: number): void;
  /** Writes the word that is there flipped and back. */
  ptracePatchText(pid: number, address: bigint): void;
  /** Puts a breakpoint there and lets go without taking it away. */
  ptraceLeaveBreakpoint(pid: number, address: bigint): void;
  processVmReadv(pid: number, address: bigint, into: number | Buffer): Buffer;
  /** By int $0x80; the address has to be below 4 GiB. */
  processVmReadv32(pid: number, address: bigint, into: number | Buffer): Buffer;
  processVmWritev(pid: number, address: bigint, bytes: Buffer): number;
  /** MADV_COLD. */
  processMadvise(pid: number, address: bigint, length: number): void;
  /** Mounts a procfs nobody else sees and reads the process's mem through it. */
  procMemDetachedMount(pid: number, address: bigint, into: number | Buffer): Buffer;
  /** Writes the byte that is there already flipped and back, through /proc/PID/mem. */
  patchText(pid: number, address: bigint): void;
  /** Duplicates descriptor `fd` of the process; how many bytes of `length` could be read from it. */
  pidfdGetfd(pid: number, fd: number, into: number | Buffer): Buffer;
  kcmp(pid: number): void;
  /** A datagram socket at this path. */
  bindSocket(path: string): number;
  sendDescriptor(path: string, fd: number): void;
  /** One that was sent to the socket already. */
  receiveDescriptor(socket: number): number;
  /** An unnamed file that holds a program. */
  memfd(bytes: Buffer): number;
  /** Opens and reads the file by io_uring. */
  uringRead(path: string, offset: bigint, into: number | Buffer): Buffer;
  /** The stack of a thread that runs, from the stack pointer on. */
  perfStack(tid: number, into: number | Buffer): Buffer;
  /** Has a probe in the code of the process for a moment, on a function that this process has as well. */
  uprobe(pid: number, name: string): void;
  /** The same with an eBPF program, until this process ends. */
  uprobeHold(pid: number, name: string): void;
  /** A descriptor: whoever reads from it reads what is there in the process, 32 bytes for each of its threads. */
  bpfCopier(pid: number, address: bigint): number;
  /** RLIMIT_CORE of the process, as far up as it goes. */
  raiseCoreLimit(pid: number): void;
  /** RLIMIT_MEMLOCK of the process, to 0; where it is 0 already, its hard limit to another. */
  lowerLockLimit(pid: number): void;
  /** Ends the process with SIGABRT while this is the core_pattern; the old one is back when it returns, or dies. */
  dumpTo(pid: number, corePattern: string): void;
}

export type LoadedAddon =
  { readonly ok: true; readonly addon: Addon; readonly path: string } | { readonly ok: false; readonly reason: string };

/** Must equal RECORD_VERSION in native/record.h. */
export const RECORD_VERSION = 1;

const HOW_TO_BUILD = `build it with gcc and g++: node ${join(ROOT, "scripts/build.mjs")} --addon-only`;

let loaded: LoadedAddon | undefined;

/** Loads the addon once; says why if there is none. */
export function loadAddon(): LoadedAddon {
  return (loaded ??= load());
}

/** The addon, or a RimonError that says what is missing and how to get it. */
export function requireAddon(): { readonly addon: Addon; readonly path: string } {
  const result = loadAddon();
  if (result.ok) return result;
  throw new RimonError(process.platform === "linux" ? "RIMON_NATIVE" : "RIMON_UNSUPPORTED", result.reason);
}

const beside = new Map<string, unknown>();

/** The addon of files and of the exec gate, or a RimonError as requireAddon()'s. */
export function requireFilesAddon(): FilesAddon {
  return requireBeside("files") as FilesAddon;
}

/** The drill's addon, or a RimonError as requireAddon()'s. */
export function requireDrillAddon(): DrillAddon {
  return requireBeside("drill") as DrillAddon;
}

function requireBeside(name: "files" | "drill"): unknown {
  const known = beside.get(name);
  if (known !== undefined) return known;
  const path = addonPath(name);
  try {
    const addon: unknown = createRequire(import.meta.url)(path);
    beside.set(name, addon);
    return addon;
  } catch (thrown) {
    throw new RimonError("RIMON_NATIVE", `cannot load ${path}: ${reasonOf(thrown)}; ${HOW_TO_BUILD}`);
  }
}

/** In a folder beside the monitor's, there or not. */
export function addonPath(name: "files" | "drill"): string {
  const { path } = requireAddon();
  return join(dirname(path), name, basename(path).replace(/^rimon\./, `${name}.`));
}

function load(): LoadedAddon {
  if (process.platform !== "linux") {
    return {
      ok: false,
      reason: `rimon watches Linux nodes; on ${process.platform} it can only replay, verify and explain`,
    };
  }
  try {
    const require = createRequire(import.meta.url);
    const path = (require("node-gyp-build") as { path(root: string): string }).path(ROOT);
    const addon = require(path) as Addon;
    if (addon.recordVersion !== RECORD_VERSION) {
      return {
        ok: false,
        reason: `the addon writes records of version ${addon.recordVersion}, this rimon reads version ${RECORD_VERSION}; ${HOW_TO_BUILD}`,
      };
    }
    return { ok: true, addon, path };
  } catch (thrown) {
    return {
      ok: false,
      reason: `no addon for ${process.platform}-${process.arch}: ${reasonOf(thrown)}; ${HOW_TO_BUILD}`,
    };
  }
}

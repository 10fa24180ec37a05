// The machines rimon is drilled in, and what each may leave unseen, undone or unattached: by name, with the reason.

import type { Technique } from "../../src/drill/technique.ts";
import { TECHNIQUES } from "../../src/drill/techniques/all.ts";
import type { KernelName } from "./kernels.ts";

type Reasons = Readonly<Record<string, string>>;

export interface Machine {
  readonly name: string;
  readonly kernel: KernelName;
  /** The kernel's lsm=, if not Debian's with bpf added. */
  readonly lsm?: string;
  /** Shell lines that come first, as root. */
  readonly before?: string;
  /** What starts rimon there, if not root's shell. */
  readonly under?: string;
  /** The techniques drilled; all of them if not given. */
  readonly only?: readonly string[];
  /** Whether mode enforce has something to stop with there. */
  readonly enforces: boolean;
  /** Techniques that may go unseen. */
  readonly unseen: Reasons;
  /** Techniques that may be refused by the kernel, or lack a program there. */
  readonly undone: Reasons;
  /** Sensors that may be unattached. */
  readonly unattached: Reasons;
}

export interface Mode {
  readonly name: "monitor" | "enforce";
  /** Behind `rimon drill --json`. */
  readonly options: readonly string[];
  /** Techniques that may come to nothing in this mode before they begin. */
  readonly undone: Reasons;
  /** Whether the technique is drilled in this mode. */
  drills(technique: Technique): boolean;
}

/** How each machine is drilled, one after the other; each has a table of its own. */
export const MODES: readonly Mode[] = [
  { name: "monitor", options: [], undone: {}, drills: () => true },
  // What is to be stopped, and nothing else.
  {
    name: "enforce",
    options: ["--enforce"],
    undone: { "proc-mem-passed-fd": "who is to open it and pass it on is refused already" },
    drills: ({ stopped }) => stopped === true,
  },
];

const PROGRAMS = ["exec", "mmap-lock", "ptrace-access", "calls", "signals"];

function because(names: readonly string[], reason: string): Reasons {
  return Object.fromEntries(names.map((name) => [name, reason]));
}

/** What only an eBPF program sees. */
const BY_EBPF = TECHNIQUES.filter(({ needs }) => needs === "eBPF").map(({ name }) => name);

const UNDONE_THERE = {
  "core-pipe-handler": "its small decoy is a copy of a program, which one of busybox cannot be",
  "ld-so-preload": "only glibc reads the file, and the programs there are busybox's",
  gcore: "gdb is not in the machine: it would need Python's library",
};

/** What differs between a kernel with all that eBPF needs and one without. */
const CONCERNED = [
  "ptrace-attach",
  "proc-mem",
  "process-vm-readv",
  "pidfd-getfd",
  "environ-read",
  "memfd-exec",
  "sigquit-core",
  "ld-preload",
  "ld-preload-erased",
];

/** What rests on registers, tables of system calls, breakpoints and the way kernel functions call each other. */
const ARCHITECTURAL = [
  "ptrace-held",
  "uprobe-held",
  "writable-code-held",
  "ptrace-attach",
  "ptrace-getregs",
  "criu-like-seize",
  "text-patch-ptrace",
  "proc-mem",
  "code-breakpoint",
  "process-vm-readv",
  "process-vm-readv-int80",
  "pidfd-getfd",
  "kcmp",
  "perf-sample-stack",
  "uprobe-crypto",
  "bpf-copy-from-user-task",
  "environ-read",
  "pagemap-read",
  "debugger-renamed",
  "node-sigusr1",
  "memfd-exec",
  "upper-layer-exec",
  "sigquit-core",
  "ld-preload-erased",
  "prlimit-core",
  "prctl-dumpable",
  "writable-code",
];

const BEFORE_5_17 = "a light skeleton is loaded by the kernel itself since v5.17";
const NO_BTF = "the kernel's types cannot be read";
const NO_CAPABILITY = "loading a program needs CAP_BPF (bpf(2))";
const NO_INVENTORY = "the kernel tells of uprobes to CAP_SYS_ADMIN (bpf(2))";
const NO_MARK = "a mark on a file system needs CAP_SYS_ADMIN (fanotify_mark(2))";

export const MACHINES: readonly Machine[] = [
  {
    name: "5.10",
    kernel: "5.10",
    enforces: false,
    unseen: because(BY_EBPF, BEFORE_5_17),
    undone: {
      "bpf-copy-from-user-task": "its iterator cannot be bound to one process before v6.1",
      ...UNDONE_THERE,
    },
    unattached: because(PROGRAMS, BEFORE_5_17),
  },
  {
    name: "6.1",
    kernel: "6.1",
    enforces: true,
    unseen: {},
    undone: UNDONE_THERE,
    unattached: {},
  },
  {
    name: "6.12",
    kernel: "6.12",
    enforces: true,
    unseen: {},
    undone: UNDONE_THERE,
    unattached: {},
  },
  {
    name: "newest",
    kernel: "newest",
    enforces: true,
    unseen: {},
    undone: {
      ...UNDONE_THERE,
      "text-patch": "built with CONFIG_PROC_MEM_FORCE_PTRACE=y: /proc/PID/mem writes to code only while tracing",
    },
    unattached: {},
  },
  {
    name: "6.12 on arm64",
    kernel: "6.12-arm64",
    only: ARCHITECTURAL,
    enforces: true,
    unseen: {},
    undone: { "process-vm-readv-int80": "only x86 has a second table of calls for a 64-bit process" },
    unattached: {},
  },
  {
    name: "6.1, bpf not among lsm=",
    kernel: "6.1",
    lsm: "lockdown,capability,landlock,yama",
    only: CONCERNED,
    enforces: true,
    unseen: {},
    undone: {},
    unattached: {},
  },
  {
    // What a loader meets: the kernel's own types stay in the kernel, but nobody can read them.
    name: "6.1, /sys/kernel/btf/vmlinux hidden",
    kernel: "6.1",
    before: "mount -t tmpfs tmpfs /sys/kernel/btf",
    only: CONCERNED,
    enforces: false,
    unseen: because(BY_EBPF, NO_BTF),
    undone: {},
    unattached: because(PROGRAMS, NO_BTF),
  },
  {
    name: "6.1, without CAP_BPF",
    kernel: "6.1",
    // CAP_SYS_ADMIN stands in for CAP_BPF (capabilities(7)), so it goes as well.
    under: "/usr/bin/setpriv --bounding-set=-bpf,-sys_admin --inh-caps=-bpf,-sys_admin",
    only: CONCERNED,
    enforces: false,
    unseen: { ...because(BY_EBPF, NO_CAPABILITY), "proc-mem": NO_MARK, "environ-read": NO_MARK },
    undone: {},
    unattached: { fanotify: NO_MARK, uprobes: NO_INVENTORY, ...because(PROGRAMS, NO_CAPABILITY) },
  },
];

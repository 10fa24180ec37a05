// The machines rimon is drilled in, and what each may leave unseen, undone or unattached: by name, with the reason.

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
  /** Techniques that may go unseen. */
  readonly unseen: Reasons;
  /** Techniques that may be refused by the kernel, or lack a program there. */
  readonly undone: Reasons;
  /** Sensors that may be unattached. */
  readonly unattached: Reasons;
}

export interface Mode {
  readonly name: string;
  /** Behind `rimon drill --json`. */
  readonly options: readonly string[];
}

/** How each machine is drilled, one after the other; each has a table of its own. */
export const MODES: readonly Mode[] = [{ name: "monitor", options: [] }];

const WITHOUT_EBPF = {
  "proc-mem-detached-mount": "a procfs in no mount table is beyond fanotify's marks",
  "process-vm-readv":
    "the call opens no file and traces nobody: neither fanotify nor the process connector tells of it",
  "pidfd-getfd": "the call opens no file and traces nobody: neither fanotify nor the process connector tells of it",
};

const NO_GDB = { gcore: "gdb is not in the machine: it would need Python's library" };

/** What differs between a kernel with all that eBPF needs and one without. */
const CONCERNED = ["ptrace-attach", "proc-mem", "process-vm-readv", "pidfd-getfd", "environ-read", "ld-preload"];

export const MACHINES: readonly Machine[] = [
  { name: "5.10", kernel: "5.10", unseen: WITHOUT_EBPF, undone: NO_GDB, unattached: {} },
  { name: "6.1", kernel: "6.1", unseen: WITHOUT_EBPF, undone: NO_GDB, unattached: {} },
  { name: "6.12", kernel: "6.12", unseen: WITHOUT_EBPF, undone: NO_GDB, unattached: {} },
  {
    name: "newest",
    kernel: "newest",
    unseen: WITHOUT_EBPF,
    undone: {
      ...NO_GDB,
      "text-patch": "built with CONFIG_PROC_MEM_FORCE_PTRACE=y: /proc/PID/mem writes to code only while tracing",
    },
    unattached: {},
  },
  {
    name: "6.1, bpf not among lsm=",
    kernel: "6.1",
    lsm: "lockdown,capability,landlock,yama",
    only: CONCERNED,
    unseen: WITHOUT_EBPF,
    undone: {},
    unattached: {},
  },
  {
    // What a loader meets: the kernel's own types stay in the kernel, but nobody can read them.
    name: "6.1, /sys/kernel/btf/vmlinux hidden",
    kernel: "6.1",
    before: "mount -t tmpfs tmpfs /sys/kernel/btf",
    only: CONCERNED,
    unseen: WITHOUT_EBPF,
    undone: {},
    unattached: {},
  },
  {
    name: "6.1, without CAP_BPF",
    kernel: "6.1",
    // CAP_SYS_ADMIN stands in for CAP_BPF (capabilities(7)), so it goes as well.
    under: "/usr/bin/setpriv --bounding-set=-bpf,-sys_admin --inh-caps=-bpf,-sys_admin",
    only: CONCERNED,
    unseen: {
      ...WITHOUT_EBPF,
      "proc-mem": "a mark on a file system needs CAP_SYS_ADMIN (fanotify_mark(2))",
      "environ-read": "a mark on a file system needs CAP_SYS_ADMIN (fanotify_mark(2))",
    },
    undone: {},
    unattached: { fanotify: "a mark on a file system needs CAP_SYS_ADMIN (fanotify_mark(2))" },
  },
];

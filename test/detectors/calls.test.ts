// What the kernel was asked for, and who sent which signal: the rules that eBPF programs feed.

import { bpfLoaded } from "../../src/detectors/bpf-loaded.ts";
import { coreDump } from "../../src/detectors/core-dump.ts";
import { descriptorTaken } from "../../src/detectors/descriptor-taken.ts";
import { inspectorOpened } from "../../src/detectors/inspector-opened.ts";
import { mapsRead } from "../../src/detectors/maps-read.ts";
import { memoryRead } from "../../src/detectors/memory-read.ts";
import { perfAttached } from "../../src/detectors/perf-attached.ts";
import { processStopped } from "../../src/detectors/process-stopped.ts";
import { ptraceAttach } from "../../src/detectors/ptrace-attach.ts";
import type { Call } from "../../src/observation.ts";
import {
  aProcess,
  AT,
  attached,
  called,
  dumping,
  executable,
  exited,
  posture,
  seen,
  signalled,
  touched,
} from "./observations.ts";
import { check } from "./table.ts";

const VAULT = seen(aProcess(41));
const NGINX = seen(aProcess(50, { comm: "nginx" }));
const GDB = seen(aProcess(93, { comm: "gdb", uid: 1000, ...executable("/usr/bin/gdb", 7) }));
/** A protected process that runs node. */
const NODE = seen(aProcess(41, { ...executable("/usr/bin/node", 8), cmdline: ["node", "kms.js"] }));

/** Whatever the call, nobody is told of one's own doing, of strangers, or of a pid that was another's. */
const quiet = (call: Call) => [
  { when: `${call}: by the process itself`, observed: [VAULT, called(call, 41, 41)], says: undefined },
  { when: `${call}: the target is not protected`, observed: [NGINX, GDB, called(call, 93, 50)], says: undefined },
  { when: `${call}: the target is not known`, observed: [GDB, called(call, 93, 41)], says: undefined },
  {
    when: `${call}: the start time is that of an earlier owner of the pid`,
    observed: [VAULT, GDB, called(call, 93, 41, { startTime: 1 })],
    says: undefined,
  },
];

check(ptraceAttach, [
  {
    when: "somebody asks to attach, and nothing says that it was granted",
    observed: [VAULT, GDB, called("attach", 93, 41)],
    says: "critical: gdb (93, uid 1000) tried to attach to vault (41, root) with ptrace",
    technique: "ptrace",
    suspect: 93,
    target: 41,
  },
  {
    when: "somebody unknown asks to attach to one thread",
    observed: [VAULT, called("attach", 93, 41, { tid: 44 })],
    says: "critical: process 93 (gone before it could be read) tried to attach to thread 44 of vault (41, root) with ptrace",
    technique: "ptrace-thread",
    suspect: 93,
    target: 41,
  },
  {
    when: "it was granted, and told",
    observed: [VAULT, GDB, attached(41, 93), called("attach", 93, 41)],
    says: undefined,
  },
  {
    when: "another was granted it",
    observed: [VAULT, GDB, attached(41, 94), called("attach", 93, 41)],
    says: "critical: gdb (93, uid 1000) tried to attach to vault (41, root) with ptrace",
    suspect: 93,
    target: 41,
  },
  {
    when: "it was granted a while ago, and is asked for again",
    observed: [VAULT, GDB, attached(41, 93), called("attach", 93, 41, { at: AT + 5_000 })],
    says: "critical: gdb (93, uid 1000) tried to attach to vault (41, root) with ptrace",
    suspect: 93,
    target: 41,
  },
  {
    when: "registers are read",
    observed: [VAULT, GDB, called("registers-read", 93, 41)],
    says: "critical: gdb (93, uid 1000) asked for the registers of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  {
    when: "registers are written",
    observed: [VAULT, GDB, called("registers-write", 93, 41, { tid: 44 })],
    says: "critical: gdb (93, uid 1000) asked to change the registers of thread 44 of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  {
    when: "a process lets another trace it",
    observed: [VAULT, called("tracer", 41, 41, { argument: "93" })],
    says: "medium: vault (41, root) lets process 93 of its pid namespace trace it (PR_SET_PTRACER)",
    technique: "set-ptracer",
    target: 41,
  },
  {
    when: "a process lets everybody trace it",
    observed: [VAULT, called("tracer", 41, 41, { argument: "18446744073709551615" })],
    says: "medium: vault (41, root) lets every process trace it (PR_SET_PTRACER)",
    target: 41,
  },
  {
    when: "whom it lets is not known",
    observed: [VAULT, called("tracer", 41, 41)],
    says: "medium: vault (41, root) lets another process trace it (PR_SET_PTRACER)",
    target: 41,
  },
  { when: "something else is asked for", observed: [VAULT, GDB, called("compare", 93, 41)], says: undefined },
  ...quiet("attach"),
  ...quiet("registers-read"),
]);

check(memoryRead, [
  {
    when: "process_vm_readv came to nothing",
    observed: [VAULT, GDB, called("vm-read", 93, 41)],
    says: "critical: gdb (93, uid 1000) tried to read the memory of vault (41, root) by process_vm_readv",
    technique: "process-vm-readv",
    suspect: 93,
    target: 41,
  },
  {
    when: "POKE came to nothing",
    observed: [VAULT, GDB, called("poke", 93, 41)],
    says: "critical: gdb (93, uid 1000) tried to write to the memory of vault (41, root) by ptrace",
    technique: "ptrace-poke",
    suspect: 93,
    target: 41,
  },
  {
    when: "process_madvise came to nothing",
    observed: [VAULT, GDB, called("advise", 93, 41)],
    says: "medium: gdb (93, uid 1000) tried to give advice on the memory of vault (41, root) by process_madvise",
    suspect: 93,
    target: 41,
  },
  {
    when: "the touch was told",
    observed: [VAULT, GDB, touched("vm-read"), called("vm-read", 93, 41)],
    says: undefined,
  },
  {
    when: "another touch was told",
    observed: [VAULT, GDB, touched("vm-read"), called("vm-write", 93, 41)],
    says: "critical: gdb (93, uid 1000) tried to write to the memory of vault (41, root) by process_vm_writev",
    suspect: 93,
    target: 41,
  },
  { when: "something else is asked for", observed: [VAULT, GDB, called("getfd", 93, 41)], says: undefined },
  ...quiet("vm-read"),
]);

check(descriptorTaken, [
  {
    when: "a descriptor is asked for",
    observed: [VAULT, GDB, called("getfd", 93, 41, { argument: "7" })],
    says: "critical: gdb (93, uid 1000) asked for a copy of descriptor 7 of vault (41, root) (pidfd_getfd)",
    technique: "pidfd-getfd",
    suspect: 93,
    target: 41,
  },
  {
    when: "which one is not known",
    observed: [VAULT, GDB, called("getfd", 93, 41)],
    says: "critical: gdb (93, uid 1000) asked for a copy of a descriptor of vault (41, root) (pidfd_getfd)",
    suspect: 93,
    target: 41,
  },
  { when: "something else is asked for", observed: [VAULT, GDB, called("attach", 93, 41)], says: undefined },
  ...quiet("getfd"),
]);

check(perfAttached, [
  {
    when: "perf events of a thread are asked for",
    observed: [VAULT, GDB, called("perf", 93, 41, { tid: 44 })],
    says: "high: gdb (93, uid 1000) asked for perf events of vault (41, root)",
    technique: "perf-event-open",
    suspect: 93,
    target: 41,
  },
  {
    when: "by whom is not known any more",
    observed: [VAULT, called("perf", 93, 41)],
    says: "high: process 93 (gone before it could be read) asked for perf events of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  { when: "something else is asked for", observed: [VAULT, GDB, called("attach", 93, 41)], says: undefined },
  ...quiet("perf"),
]);

check(mapsRead, [
  {
    when: "kcmp compares it with another",
    observed: [VAULT, GDB, called("compare", 93, 41)],
    says: "low: gdb (93, uid 1000) compared resources (kcmp) of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  { when: "something else is asked for", observed: [VAULT, GDB, called("perf", 93, 41)], says: undefined },
  ...quiet("compare"),
]);

check(bpfLoaded, [
  {
    when: "a program that is no usual loader loads one",
    observed: [
      seen(aProcess(93, { comm: "bpftrace", ...executable("/usr/bin/bpftrace", 9) })),
      called("bpf-load", 93, undefined, { argument: "2" }),
    ],
    says: "low: bpftrace (93, root) asked to load a kprobe or uprobe program (eBPF)",
    technique: "bpf-prog-load",
    suspect: 93,
  },
  {
    when: "by whom and what kind is not known",
    observed: [called("bpf-load", 93, undefined)],
    says: "low: process 93 (gone before it could be read) asked to load an eBPF program",
    suspect: 93,
  },
  {
    when: "something calls itself systemd elsewhere",
    observed: [
      seen(aProcess(93, { comm: "systemd", ...executable("/tmp/systemd", 9) })),
      called("bpf-load", 93, undefined),
    ],
    says: "low: systemd (93, root) asked to load an eBPF program",
    suspect: 93,
  },
  {
    when: "systemd does",
    observed: [
      seen(aProcess(1, { comm: "systemd", ...executable("/usr/lib/systemd/systemd", 9) })),
      called("bpf-load", 1, undefined, { argument: "8" }),
    ],
    says: undefined,
  },
  { when: "something else is asked for", observed: [VAULT, GDB, called("perf", 93, 41)], says: undefined },
]);

check(inspectorOpened, [
  {
    when: "node is sent SIGUSR1",
    observed: [NODE, GDB, signalled(10, 93, 41)],
    says: "high: gdb (93, uid 1000) sent SIGUSR1 to vault (41, root), which opens its inspector",
    technique: "node-sigusr1",
    suspect: 93,
    target: 41,
  },
  {
    when: "a descriptor that somebody set to send it does, which may be at work in anybody's name",
    observed: [NODE, GDB, signalled(10, undefined, 41)],
    says: "high: a descriptor that was set to send signals (F_SETSIG) sent SIGUSR1 to vault (41, root), which opens its inspector",
    technique: "node-sigusr1",
    target: 41,
  },
  {
    when: "its file and arguments are not known, and it is called node by another name: no",
    observed: [VAULT, GDB, signalled(10, 93, 41)],
    says: undefined,
  },
  {
    when: "it was told not to listen to it",
    observed: [
      seen(aProcess(41, { ...executable("/usr/bin/node", 8), cmdline: ["node", "--disable-sigusr1", "kms.js"] })),
      GDB,
      signalled(10, 93, 41),
    ],
    says: undefined,
  },
  {
    when: "node is started with --inspect",
    observed: [seen(aProcess(41, { ...executable("/usr/bin/node", 8), cmdline: ["node", "--inspect=0", "kms.js"] }))],
    says: "high: vault (41, root) was started with --inspect=0, which opens its inspector",
    technique: "node-inspect",
    target: 41,
  },
  {
    when: "the option is the script's own",
    observed: [seen(aProcess(41, { ...executable("/usr/bin/node", 8), cmdline: ["node", "kms.js", "--inspect"] }))],
    says: undefined,
  },
  {
    when: "only the port of an inspector that stays closed is given",
    observed: [
      seen(aProcess(41, { ...executable("/usr/bin/node", 8), cmdline: ["node", "--inspect-port=1", "kms.js"] })),
    ],
    says: undefined,
  },
  { when: "its arguments could not be read", observed: [NODE], says: undefined },
  { when: "another signal", observed: [NODE, GDB, signalled(6, 93, 41)], says: undefined },
  { when: "by itself", observed: [NODE, signalled(10, 41, 41)], says: undefined },
  { when: "the target is not protected", observed: [NGINX, GDB, signalled(10, 93, 50)], says: undefined },
]);

check(processStopped, [
  {
    when: "SIGSTOP from another",
    observed: [VAULT, GDB, signalled(19, 93, 41)],
    says: "medium: gdb (93, uid 1000) stopped vault (41, root) (SIGSTOP)",
    technique: "sigstop",
    suspect: 93,
    target: 41,
  },
  {
    when: "nobody knows the sender any more",
    observed: [VAULT, signalled(19, 93, 41)],
    says: "medium: process 93 (gone before it could be read) stopped vault (41, root) (SIGSTOP)",
    suspect: 93,
    target: 41,
  },
  { when: "another signal", observed: [VAULT, GDB, signalled(10, 93, 41)], says: undefined },
  { when: "the target is not protected", observed: [NGINX, GDB, signalled(19, 93, 50)], says: undefined },
]);

check(coreDump, [
  {
    when: "who sent the signal was seen",
    observed: [VAULT, GDB, signalled(6, 93, 41), dumping(41)],
    says: "critical: vault (41, root) got SIGABRT from gdb (93, uid 1000); where the dump goes is not known",
    suspect: 93,
    target: 41,
  },
  {
    when: "a signal was sent long before it dumps",
    observed: [VAULT, GDB, signalled(3, 93, 41, { at: AT - 5_000 }), dumping(41)],
    says: "critical: vault (41, root) got a signal that dumps core; where the dump goes is not known",
    target: 41,
  },
  {
    when: "another signal was sent",
    observed: [VAULT, GDB, signalled(10, 93, 41), dumping(41)],
    says: "critical: vault (41, root) got a signal that dumps core; where the dump goes is not known",
    target: 41,
  },
  {
    when: "the signal was sent to an earlier owner of the pid",
    observed: [VAULT, GDB, signalled(6, 93, 41, { startTime: 1 }), dumping(41)],
    says: "critical: vault (41, root) got a signal that dumps core; where the dump goes is not known",
    target: 41,
  },
  {
    when: "the dump took its time",
    observed: [VAULT, GDB, signalled(6, 93, 41, { at: AT - 9_000 }), exited(41, { signal: 6, dumped: true })],
    says: "critical: vault (41, root) was ended by SIGABRT from gdb (93, uid 1000) and its memory was dumped",
    suspect: 93,
    target: 41,
  },
  {
    when: "it was ended by another signal than the one that was sent",
    observed: [VAULT, GDB, signalled(3, 93, 41), exited(41, { signal: 11, dumped: true })],
    says: "critical: vault (41, root) was ended by SIGSEGV and its memory was dumped",
    target: 41,
  },
  {
    when: "another raises its limit",
    observed: [VAULT, GDB, called("core-limit", 93, 41, { argument: "18446744073709551615" })],
    says: "critical: gdb (93, uid 1000) asked to set RLIMIT_CORE of vault (41, root) to unlimited",
    technique: "rlimit-core",
    suspect: 93,
    target: 41,
  },
  {
    when: "to what could not be read",
    observed: [VAULT, GDB, called("core-limit", 93, 41)],
    says: "critical: gdb (93, uid 1000) asked to set RLIMIT_CORE of vault (41, root) to an unknown limit",
    suspect: 93,
    target: 41,
  },
  {
    when: "another lowers its limit to nothing",
    observed: [VAULT, GDB, called("core-limit", 93, 41, { argument: "0" })],
    says: undefined,
  },
  {
    when: "it was not dumpable and makes itself so",
    observed: [seen(aProcess(41, { uid: 7, euid: 7 })), posture(41, { procOwner: 0 }), called("dumpable", 41, 41)],
    says: "critical: vault (41, uid 7) made itself dumpable (PR_SET_DUMPABLE)",
    target: 41,
  },
  {
    when: "it is dumpable and says so again",
    observed: [seen(aProcess(41, { uid: 7, euid: 7 })), posture(41, { procOwner: 7 }), called("dumpable", 41, 41)],
    says: undefined,
  },
  {
    when: "it makes itself dumpable, and whether it was is not known",
    observed: [VAULT, called("dumpable", 41, 41)],
    says: "medium: vault (41, root) made itself dumpable (PR_SET_DUMPABLE)",
    technique: "dumpable",
    target: 41,
  },
  ...quiet("core-limit"),
]);

// The rules about who reaches into a protected process: ptrace-attach, memory-read, environ-read, maps-read.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { environRead } from "../../src/detectors/environ-read.ts";
import { mapsRead } from "../../src/detectors/maps-read.ts";
import { memoryRead } from "../../src/detectors/memory-read.ts";
import { ptraceAttach } from "../../src/detectors/ptrace-attach.ts";
import { uprobeSet } from "../../src/detectors/uprobe-set.ts";
import type { MemoryOperation, MemoryTouched } from "../../src/observation.ts";
import {
  accessed, aProcess, attached, called, detect, executable, exited, nodeWith, probed, seen, touched,
} from "./observations.ts"; // prettier-ignore
import { check } from "./table.ts";

const VAULT = seen(aProcess(41));
const GDB = seen(aProcess(93, { comm: "gdb", uid: 1000, ...executable("/usr/bin/gdb", 7) }));
const NGINX = seen(aProcess(50, { comm: "nginx" }));

check(ptraceAttach, [
  {
    when: "a known process attaches to a protected one",
    observed: [VAULT, GDB, attached(41, 93)],
    says: "critical: gdb (93, uid 1000) attached to vault (41, root) with ptrace",
    technique: "ptrace",
    suspect: 93,
    target: 41,
  },
  {
    when: "to one thread only",
    observed: [VAULT, GDB, attached(41, 93, 44)],
    says: "critical: gdb (93, uid 1000) attached to thread 44 of vault (41, root) with ptrace",
    technique: "ptrace-thread",
    suspect: 93,
    target: 41,
  },
  {
    when: "nobody knows the tracer any more",
    observed: [VAULT, attached(41, 93)],
    says: "critical: process 93 (gone before it could be read) attached to vault (41, root) with ptrace",
    suspect: 93,
    target: 41,
  },
  {
    when: "the tracer has just exited",
    observed: [VAULT, GDB, exited(93), attached(41, 93)],
    says: "critical: gdb (93, uid 1000) attached to vault (41, root) with ptrace",
    suspect: 93,
    target: 41,
  },
  {
    when: "the uids could not be read",
    observed: [
      seen({ pid: 41, startTime: 410, parentPid: 1, comm: "vault", kernelThread: false }),
      seen({ pid: 93, startTime: 930, parentPid: 1, comm: "gdb", kernelThread: false }),
      attached(41, 93),
    ],
    says: "critical: gdb (93) attached to vault (41) with ptrace",
    suspect: 93,
    target: 41,
  },
  { when: "the target is not protected", observed: [NGINX, GDB, attached(50, 93)], says: undefined },
  { when: "the target is not known", observed: [GDB, attached(41, 93)], says: undefined },
  {
    when: "the pid was reused by a protected process after the event's own process",
    observed: [VAULT, GDB, { ...attached(41, 93), startTime: 1 }],
    says: undefined,
  },
]);

check(memoryRead, [
  {
    when: "mem is opened",
    observed: [VAULT, GDB, accessed("mem", 93, 41)],
    says: "critical: gdb (93, uid 1000) opened the memory of vault (41, root) by /proc/41/mem",
    technique: "proc-mem",
    suspect: 93,
    target: 41,
  },
  {
    when: "mem is written",
    observed: [VAULT, GDB, accessed("mem", 93, 41, { access: "write" })],
    says: "critical: gdb (93, uid 1000) wrote to the memory of vault (41, root) by /proc/41/mem",
    suspect: 93,
    target: 41,
  },
  {
    when: "by way of a thread",
    observed: [VAULT, GDB, accessed("mem", 93, 41, { access: "read", targetTid: 44, path: "/proc/41/task/44/mem" })],
    says: "critical: gdb (93, uid 1000) read the memory of vault (41, root) by /proc/41/task/44/mem",
    technique: "proc-task-mem",
    suspect: 93,
    target: 41,
  },
  {
    when: "through another procfs, by a descriptor held since before",
    observed: [VAULT, accessed("mem", 93, 41, { access: "held", ownMount: false, path: "/tmp/p/41/mem" })],
    says: "critical: process 93 (gone before it could be read) holds open the memory of vault (41, root) by /tmp/p/41/mem",
    technique: "proc-mem-other-mount",
    suspect: 93,
    target: 41,
  },
  {
    when: "an ordinary reader has no business with mem",
    observed: [
      VAULT,
      seen(aProcess(93, { comm: "ps", ...executable("/usr/bin/ps", 9) })),
      accessed("mem", 93, 41, { access: "read" }),
    ],
    says: "critical: ps (93, root) read the memory of vault (41, root) by /proc/41/mem",
    suspect: 93,
    target: 41,
  },
  { when: "a process reads its own memory", observed: [VAULT, accessed("mem", 41, 41)], says: undefined },
  { when: "the target is not protected", observed: [NGINX, GDB, accessed("mem", 93, 50)], says: undefined },
  { when: "whose memory it is is not known", observed: [VAULT, GDB, accessed("mem", 93, undefined)], says: undefined },
  {
    when: "the target's start time is that of an earlier owner of the pid",
    observed: [VAULT, GDB, accessed("mem", 93, 41, { targetStartTime: 1 })],
    says: undefined,
  },
  { when: "another file is opened", observed: [VAULT, GDB, accessed("environ", 93, 41)], says: undefined },
]);

const TOUCHES: readonly [operation: MemoryOperation, technique: string, says: string][] = [
  ["vm-read", "process-vm-readv", "critical: gdb (93, uid 1000) read the memory of vault (41, root) by process_vm_readv"],
  ["vm-write", "process-vm-writev", "critical: gdb (93, uid 1000) wrote to the memory of vault (41, root) by process_vm_writev"],
  ["peek", "ptrace-peek", "critical: gdb (93, uid 1000) read the memory of vault (41, root) by ptrace"],
  ["poke", "ptrace-poke", "critical: gdb (93, uid 1000) wrote to the memory of vault (41, root) by ptrace"],
  ["mem-read", "proc-mem", "critical: gdb (93, uid 1000) read the memory of vault (41, root) by a descriptor of /proc/PID/mem"],
  ["mem-write", "proc-mem", "critical: gdb (93, uid 1000) wrote to the memory of vault (41, root) by a descriptor of /proc/PID/mem"],
  ["bpf", "bpf-copy-from-user-task", "critical: gdb (93, uid 1000) read the memory of vault (41, root) by an eBPF program"],
  ["advise", "process-madvise", "medium: gdb (93, uid 1000) gave advice on the memory of vault (41, root) by process_madvise"],
  ["move", "move-pages", "medium: gdb (93, uid 1000) moved pages of the memory of vault (41, root) by move_pages or migrate_pages"],
  ["unknown", "unknown", "medium: gdb (93, uid 1000) took the lock of the memory of vault (41, root) by a way that rimon does not know"],
]; // prettier-ignore

const ANSWERS: readonly [action: MemoryTouched["action"], operation: string, says: string][] = [
  ["killed", "read-stopped", "gdb (93, uid 1000) tried to read the memory of vault (41, root) by process_vm_readv, and was killed before a page was fetched"],
  ["not-killed", "read-not-stopped", "gdb (93, uid 1000) read the memory of vault (41, root) by process_vm_readv; it was to be killed, and the kernel refused that"],
  ["asleep", "read-not-stopped", "gdb (93, uid 1000) read the memory of vault (41, root) by process_vm_readv; it was to be killed, but rimon had given no sign of life"],
]; // prettier-ignore

check(memoryRead, [
  ...TOUCHES.map(([operation, technique, says]) => ({
    when: `touched by ${operation}`,
    observed: [VAULT, GDB, touched(operation)],
    says,
    technique,
    suspect: 93,
    target: 41,
  })),
  ...ANSWERS.map(([action, , says]) => ({
    when: `touched, and it was ${action}`,
    observed: [VAULT, GDB, touched("vm-read", { action })],
    says: `critical: ${says}`,
    suspect: 93,
    target: 41,
  })),
  {
    when: "a write that was stopped",
    observed: [VAULT, GDB, touched("poke", { action: "killed" })],
    says: "critical: gdb (93, uid 1000) tried to write to the memory of vault (41, root) by ptrace, and was killed before a page was fetched",
    suspect: 93,
    target: 41,
  },
  {
    when: "touched by nobody knows whom",
    observed: [VAULT, touched("vm-read")],
    says: "critical: process 93 (gone before it could be read) read the memory of vault (41, root) by process_vm_readv",
    suspect: 93,
    target: 41,
  },
  ...(["environ", "maps", "pagemap", "map-files", "uprobe", "cmdline"] as const).map((operation) => ({
    when: `${operation} is another rule's or nobody's`,
    observed: [VAULT, GDB, touched(operation)],
    says: undefined,
  })),
  { when: "touched by itself", observed: [VAULT, GDB, touched("vm-read", { byPid: 41 })], says: undefined },
  {
    when: "the target of a touch is not protected",
    observed: [VAULT, NGINX, GDB, touched("vm-read", { pid: 50, startTime: 500 })],
    says: undefined,
  },
  {
    when: "the touched process is an earlier owner of the pid",
    observed: [VAULT, GDB, touched("vm-read", { startTime: 1 })],
    says: undefined,
  },
]);

describe("what a touch was answered with", () => {
  for (const [action, operation] of [...ANSWERS, ["seen", "read"] as const]) {
    it(action, () => {
      const found = detect(memoryRead, [VAULT, GDB, touched("vm-read", { action })]);
      assert.equal(found?.operation, operation);
    });
  }

  it("who was killed has the name of the file it ran, as the kernel saw it", () => {
    const forked = seen({ pid: 94, startTime: 940, parentPid: 93, comm: "gdb", kernelThread: false, uid: 0 });
    const state = nodeWith([
      VAULT,
      GDB,
      forked,
      touched("vm-read", { byPid: 94, action: "killed", byExeFile: { dev: 8, inode: 7 } }),
    ]);
    assert.equal(state.actor(94).exe, "/usr/bin/gdb");
    const other = nodeWith([VAULT, GDB, forked, touched("vm-read", { byPid: 94, byExeFile: { dev: 8, inode: 9 } })]);
    assert.equal(other.actor(94).exe, undefined);
  });
});

check(uprobeSet, [
  {
    when: "a uprobe is set",
    observed: [VAULT, GDB, touched("uprobe")],
    says: "critical: gdb (93, uid 1000) set or removed a uprobe on vault (41, root)",
    technique: "uprobe",
    suspect: 93,
    target: 41,
  },
  {
    when: "one is asked for",
    observed: [VAULT, GDB, called("probe", 93, 41)],
    says: "critical: gdb (93, uid 1000) asked for a uprobe on vault (41, root)",
    technique: "uprobe",
    suspect: 93,
    target: 41,
  },
  { when: "memory is read", observed: [VAULT, GDB, touched("vm-read")], says: undefined },
  { when: "by itself", observed: [VAULT, touched("uprobe", { byPid: 41 })], says: undefined },
  { when: "it asks for one in itself", observed: [VAULT, called("probe", 41, 41)], says: undefined },
  { when: "other perf events are asked for", observed: [VAULT, GDB, called("perf", 93, 41)], says: undefined },
  {
    when: "one is held",
    observed: [VAULT, GDB, probed({ byPid: 93, byStartTime: 930 })],
    says: "critical: gdb (93, uid 1000) holds a uprobe on EVP_DecryptUpdate+0x0 in /usr/lib/libcrypto.so.3, code of vault (41, root)",
    technique: "uprobe",
    suspect: 93,
    target: 41,
  },
  {
    when: "several are held, and one is on a return of what has no name",
    observed: [
      VAULT,
      GDB,
      probed({ byPid: 93, probes: [{ offset: 0x10, returns: true }, ...probed().probes], count: 20 }),
    ],
    says: "critical: gdb (93, uid 1000) holds uprobes on the return of 0x10, EVP_DecryptUpdate+0x0 and 18 more places in /usr/lib/libcrypto.so.3, code of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  {
    when: "nobody holds the link",
    observed: [VAULT, probed({ by: "link" })],
    says: "critical: An eBPF link that no process holds is a uprobe on EVP_DecryptUpdate+0x0 in /usr/lib/libcrypto.so.3, code of vault (41, root)",
    target: 41,
  },
  {
    when: "tracefs has it",
    observed: [VAULT, probed({ by: "event", name: "probe_libcrypto/a" })],
    says: "critical: The event probe_libcrypto/a of tracefs is a uprobe on EVP_DecryptUpdate+0x0 in /usr/lib/libcrypto.so.3, code of vault (41, root)",
    target: 41,
  },
  { when: "it holds one on itself", observed: [VAULT, probed({ byPid: 41 })], says: undefined },
  { when: "the process is another by now", observed: [VAULT, probed({ startTime: 1 })], says: undefined },
]);

const cat = (path: string) => seen(aProcess(93, { comm: "cat", ...executable(path, 5) }));

check(environRead, [
  {
    when: "cat does it",
    observed: [VAULT, cat("/usr/bin/cat"), accessed("environ", 93, 41)],
    says: "medium: cat (93, root) opened the environment of vault (41, root)",
    technique: "environ-read",
    suspect: 93,
    target: 41,
  },
  {
    when: "a copy of ps lies in /tmp",
    observed: [VAULT, cat("/tmp/ps"), accessed("environ", 93, 41)],
    says: "medium: cat (93, root) opened the environment of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  {
    when: "a process calls itself ps but its file could not be read",
    observed: [VAULT, seen(aProcess(93, { comm: "ps" })), accessed("environ", 93, 41)],
    says: "medium: ps (93, root) opened the environment of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  {
    when: "ps was deleted from under the process",
    observed: [VAULT, cat("/usr/bin/ps (deleted)"), accessed("environ", 93, 41)],
    says: "medium: cat (93, root) opened the environment of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  {
    when: "a name that only begins like that of a reader",
    observed: [VAULT, cat("/usr/bin/psx"), accessed("environ", 93, 41)],
    says: "medium: cat (93, root) opened the environment of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  ...["/usr/bin/ps", "/bin/ps", "/usr/bin/htop", "/usr/lib/systemd/systemd", "/usr/local/bin/node_exporter"].map(
    (path) => ({
      when: path,
      observed: [VAULT, cat(path), accessed("environ" as const, 93, 41)],
      says: undefined,
    }),
  ),
  { when: "its own", observed: [VAULT, accessed("environ", 41, 41)], says: undefined },
  { when: "of whom is not known", observed: [VAULT, accessed("environ", 93, undefined)], says: undefined },
]);

check(mapsRead, [
  ...(["maps", "smaps", "map_files", "auxv", "stack", "syscall"] as const).map((file) => ({
    when: `${file} by a stranger`,
    observed: [VAULT, cat("/usr/bin/cat"), accessed(file, 93, 41)],
    says: `low: cat (93, root) opened ${file} of vault (41, root)`,
    technique: "maps-read",
    suspect: 93,
    target: 41,
  })),
  {
    when: "pagemap weighs more",
    observed: [VAULT, cat("/usr/bin/cat"), accessed("pagemap", 93, 41)],
    says: "medium: cat (93, root) opened pagemap of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  {
    when: "pmap under another roof",
    observed: [VAULT, cat("/home/eve/pmap"), accessed("maps", 93, 41)],
    says: "low: cat (93, root) opened maps of vault (41, root)",
    suspect: 93,
    target: 41,
  },
  { when: "pmap", observed: [VAULT, cat("/usr/bin/pmap"), accessed("maps", 93, 41)], says: undefined },
  { when: "its own", observed: [VAULT, accessed("maps", 41, 41)], says: undefined },
  { when: "mem, which is another rule's", observed: [VAULT, accessed("mem", 93, 41)], says: undefined },
  { when: "coredump_filter, likewise", observed: [VAULT, accessed("coredump_filter", 93, 41)], says: undefined },
  { when: "of whom is not known", observed: [VAULT, accessed("maps", 93, undefined)], says: undefined },
]);

// What the rules say of a request to reach into a protected process: one of them speaks, by the call it was made in.

import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryRead } from "../../src/detectors/memory-read.ts";
import { ptraceAttach } from "../../src/detectors/ptrace-attach.ts";
import type { AccessCall, ObservationOf } from "../../src/observation.ts";
import { AT, aProcess, detect, seen } from "./observations.ts";
import { check } from "./table.ts";

type Checked = ObservationOf<"access.checked">;

const VAULT = seen(aProcess(41));
const GDB = seen(aProcess(93, { comm: "gdb", uid: 1000 }));
const NGINX = seen(aProcess(50, { comm: "nginx" }));

function asked(call: AccessCall, rest: Partial<Omit<Checked, "kind" | "call">> = {}): Checked {
  return {
    kind: "access.checked", at: AT, sensor: "ptrace-access", call, attach: true,
    pid: 41, startTime: 410, tid: 41, byPid: 93, byTid: 93, action: "seen", suppressed: 0, ...rest,
  }; // prettier-ignore
}

check(ptraceAttach, [
  {
    when: "a process asked to attach",
    observed: [VAULT, GDB, asked("ptrace")],
    says: "critical: gdb (93, uid 1000) asked to attach to vault (41, root) with ptrace",
    technique: "ptrace",
    suspect: 93,
    target: 41,
  },
  {
    when: "to one thread, and was refused",
    observed: [VAULT, GDB, asked("ptrace", { tid: 44, action: "refused" })],
    says: "critical: gdb (93, uid 1000) asked to attach to thread 44 of vault (41, root) with ptrace, and was refused",
    technique: "ptrace-thread",
    suspect: 93,
    target: 41,
  },
  {
    when: "rimon had given no sign of life",
    observed: [VAULT, GDB, asked("pidfd-getfd", { action: "asleep" })],
    says: "critical: gdb (93, uid 1000) asked for a descriptor of vault (41, root) by pidfd_getfd; it was to be refused, but rimon had given no sign of life",
    technique: "pidfd-getfd",
    suspect: 93,
    target: 41,
  },
  {
    when: "it gives no memory by itself",
    observed: [VAULT, GDB, asked("kcmp", { attach: false, action: "refused" })],
    says: "medium: gdb (93, uid 1000) asked what it shares with vault (41, root) by kcmp, and was refused",
    technique: "kcmp",
    suspect: 93,
    target: 41,
  },
  {
    when: "nobody knows who asked any more",
    observed: [VAULT, asked("ptrace")],
    says: "critical: process 93 (gone before it could be read) asked to attach to vault (41, root) with ptrace",
    suspect: 93,
    target: 41,
  },
  {
    when: "the target is not protected",
    observed: [NGINX, GDB, asked("ptrace", { pid: 50, startTime: 500 })],
    says: undefined,
  },
  {
    when: "what was let through is for another rule to tell",
    observed: [VAULT, GDB, asked("pidfd-getfd")],
    says: undefined,
  },
  {
    when: "the pid is another process by now",
    observed: [VAULT, GDB, asked("ptrace", { startTime: 1 })],
    says: undefined,
  },
  { when: "it asked for itself", observed: [VAULT, asked("ptrace", { byPid: 41 })], says: undefined },
]);

check(memoryRead, [
  {
    when: "a process asked to read memory, and was refused",
    observed: [VAULT, GDB, asked("vm-read", { action: "refused" })],
    says: "critical: gdb (93, uid 1000) asked to read the memory of vault (41, root) by process_vm_readv, and was refused",
    technique: "process-vm-readv",
    suspect: 93,
    target: 41,
  },
  {
    when: "to open it",
    observed: [VAULT, GDB, asked("open")],
    says: "critical: gdb (93, uid 1000) asked to open the memory of vault (41, root) by /proc/PID/mem",
    technique: "proc-mem",
    suspect: 93,
    target: 41,
  },
  {
    when: "to give advice on it",
    observed: [VAULT, GDB, asked("advise", { attach: false })],
    says: "medium: gdb (93, uid 1000) asked to give advice on the memory of vault (41, root) by process_madvise",
    suspect: 93,
    target: 41,
  },
  { when: "it asked for itself", observed: [VAULT, asked("vm-read", { byPid: 41 })], says: undefined },
  {
    when: "the target is not protected",
    observed: [NGINX, GDB, asked("vm-read", { pid: 50, startTime: 500 })],
    says: undefined,
  },
]);

test("what is refused, let through and slept through are never counted as one", () => {
  const operations = (["seen", "refused", "asleep"] as const).map(
    (action) => detect(memoryRead, [VAULT, GDB, asked("vm-write", { action })])?.operation,
  );
  assert.deepEqual(operations, ["write", "write-refused", "write-not-refused"]);
});

test("every call that is refused belongs to one rule, but setns, which enters a container and is not told", () => {
  const calls: readonly AccessCall[] = [
    "ptrace", "vm-read", "vm-write", "open", "read", "pidfd-getfd", "kcmp", "advise", "perf", "move", "other", "setns",
  ]; // prettier-ignore
  for (const call of calls) {
    const speaking = [ptraceAttach, memoryRead].filter(
      (rule) => detect(rule, [VAULT, GDB, asked(call, { action: "refused" })]) !== undefined,
    );
    assert.equal(speaking.length, call === "setns" ? 0 : 1, call);
  }
});

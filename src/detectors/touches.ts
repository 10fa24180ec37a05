// What a touch of protected memory is called, and which rule it belongs to.

import type { MemoryOperation, MemoryTouched } from "../observation.ts";

export interface Touch {
  readonly technique: string;
  /** Completes "X ... of Y" and "X tried to ... of Y". */
  readonly did: string;
  readonly tries: string;
  readonly by: string;
}

/** Touches that give or change the contents of memory. */
export const READS: Readonly<Partial<Record<MemoryOperation, Touch>>> = {
  "vm-read": {
    technique: "process-vm-readv",
    did: "read the memory",
    tries: "read the memory",
    by: "process_vm_readv",
  },
  "vm-write": {
    technique: "process-vm-writev",
    did: "wrote to the memory",
    tries: "write to the memory",
    by: "process_vm_writev",
  },
  peek: { technique: "ptrace-peek", did: "read the memory", tries: "read the memory", by: "ptrace" },
  poke: { technique: "ptrace-poke", did: "wrote to the memory", tries: "write to the memory", by: "ptrace" },
  "mem-read": {
    technique: "proc-mem",
    did: "read the memory",
    tries: "read the memory",
    by: "a descriptor of /proc/PID/mem",
  },
  "mem-write": {
    technique: "proc-mem",
    did: "wrote to the memory",
    tries: "write to the memory",
    by: "a descriptor of /proc/PID/mem",
  },
  bpf: {
    technique: "bpf-copy-from-user-task",
    did: "read the memory",
    tries: "read the memory",
    by: "an eBPF program",
  },
  advise: {
    technique: "process-madvise",
    did: "gave advice on the memory",
    tries: "give advice on the memory",
    by: "process_madvise",
  },
  move: {
    technique: "move-pages",
    did: "moved pages of the memory",
    tries: "move pages of the memory",
    by: "move_pages or migrate_pages",
  },
  unknown: {
    technique: "unknown",
    did: "took the lock of the memory",
    tries: "take the lock of the memory",
    by: "a way that rimon does not know",
  },
};

const WRITES: ReadonlySet<MemoryOperation> = new Set(["vm-write", "poke", "mem-write"]);

/** The operation of a finding: what was stopped is told beside what was begun, never grouped with it. */
export function operationOf({ operation, action }: MemoryTouched): string {
  const word = WRITES.has(operation) ? "write" : "read";
  return action === "killed" ? `${word}-stopped` : action === "seen" ? word : `${word}-not-stopped`;
}

/** The act in words: who was killed in time did not do it. */
export function actOf({ did, tries }: Touch, { action }: MemoryTouched): string {
  return action === "killed" ? `tried to ${tries}` : did;
}

/** What the kernel did about it, to stand behind the sentence. */
export function answerTo({ action }: MemoryTouched): string {
  switch (action) {
    case "killed":
      return ", and was killed before a page was fetched";
    case "not-killed":
      return "; it was to be killed, and the kernel refused that";
    case "asleep":
      return "; it was to be killed, but rimon had given no sign of life";
    case "seen":
      return "";
  }
}

// What a request to reach into a protected process is called, and which rule it belongs to.

import type { AccessCall, AccessChecked } from "../observation.ts";

export interface Access {
  readonly technique: string;
  /** Stand around the name of the target: "X asked to attach to Y with ptrace". */
  readonly before: string;
  readonly behind: string;
  readonly operation: "read" | "write" | "attach" | "access";
  /** It gives no memory by itself. */
  readonly mild?: true;
}

/** Those that are for the contents of memory. */
export const MEMORY_ACCESSES: Readonly<Partial<Record<AccessCall, Access>>> = {
  "vm-read": {
    technique: "process-vm-readv",
    before: "to read the memory of",
    behind: "by process_vm_readv",
    operation: "read",
  },
  "vm-write": {
    technique: "process-vm-writev",
    before: "to write to the memory of",
    behind: "by process_vm_writev",
    operation: "write",
  },
  open: { technique: "proc-mem", before: "to open the memory of", behind: "by /proc/PID/mem", operation: "read" },
  advise: {
    technique: "process-madvise",
    before: "to give advice on the memory of",
    behind: "by process_madvise",
    operation: "read",
    mild: true,
  },
};

/** All the others. */
export const ATTACH_ACCESSES: Readonly<Partial<Record<AccessCall, Access>>> = {
  ptrace: { technique: "ptrace", before: "to attach to", behind: "with ptrace", operation: "attach" },
  "pidfd-getfd": {
    technique: "pidfd-getfd",
    before: "for a descriptor of",
    behind: "by pidfd_getfd",
    operation: "access",
  },
  kcmp: { technique: "kcmp", before: "what it shares with", behind: "by kcmp", operation: "access", mild: true },
  perf: { technique: "perf", before: "to sample", behind: "by perf_event_open", operation: "access", mild: true },
  move: {
    technique: "move-pages",
    before: "to move pages of",
    behind: "by move_pages or migrate_pages",
    operation: "access",
    mild: true,
  },
  read: {
    technique: "proc-stack",
    before: "for the stack or the registers of",
    behind: "by a file of /proc/PID",
    operation: "access",
    mild: true,
  },
  other: { technique: "unknown", before: "for access to", behind: "in a way that rimon does not know", operation: "access", mild: true }, // prettier-ignore
};

/** The operation of a finding: what was refused is told beside what was let through, never grouped with it. */
export function accessOperation(
  { operation }: Pick<Access, "operation">,
  { action }: Pick<AccessChecked, "action">,
): string {
  return action === "refused" ? `${operation}-refused` : action === "seen" ? operation : `${operation}-not-refused`;
}

/** What the kernel answered, to stand behind the sentence. */
export function answerToAccess({ action }: Pick<AccessChecked, "action">): string {
  switch (action) {
    case "refused":
      return ", and was refused";
    case "asleep":
      return "; it was to be refused, but rimon had given no sign of life";
    case "seen":
      return "";
  }
}

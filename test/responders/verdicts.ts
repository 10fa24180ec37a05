// A verdict as the others start from.

import type { Finding, Verdict } from "../../src/finding.ts";

export function verdictOf(finding: Partial<Finding> = {}, actions: Verdict["actions"] = []): Verdict {
  return {
    type: "verdict",
    version: 1,
    finding: {
      type: "finding",
      version: 1,
      id: "01JD0000000000000000000000",
      time: "2026-04-17T10:00:00.123Z",
      node: "node-7",
      rule: "memory-read",
      severity: "critical",
      technique: "process-vm-readv",
      operation: "read",
      sensor: "procfs",
      suspect: {
        pid: 9312,
        startTime: 4711,
        comm: "gdb",
        exe: "/usr/bin/gdb",
        uid: 0,
        cmdline: ["gdb", "-p", "4121"],
        ancestry: [
          { pid: 9120, comm: "bash" },
          { pid: 1, comm: "systemd" },
        ],
      },
      target: { pid: 4121, startTime: 815, comm: "vault", cmdline: ["vault", "server"], cgroup: "/vault.service" },
      tenants: ["org-pharma"],
      message: "gdb (9312, root) read the memory of vault (4121)",
      count: 1,
      evidence: [],
      ...finding,
    },
    actions,
  };
}

/** Resolves once the condition holds; how long it takes is no matter of the test. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("what was waited for did not come within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// What the drill's monitor is told.

import { hostname } from "node:os";
import { join } from "node:path";
import type { Configuration } from "../configuration.ts";

export interface DrillConfigurationOptions {
  readonly folder: string;
  /** What the decoys are called. */
  readonly decoys: string;
  readonly enforce: boolean;
  /** Whether writes of settings are refused to a cgroup only. */
  readonly hasCgroup: boolean;
}

/** Where its audit log is. */
export function auditLogIn(folder: string): string {
  return join(folder, "audit.ndjson");
}

/** A monitor that tells nobody and does nothing, with its files in a folder that goes away. */
export function drillConfiguration({
  folder,
  decoys: value,
  enforce,
  hasCgroup,
}: DrillConfigurationOptions): Configuration {
  const decoys = { by: "comm", value } as const;
  const untouched = { enabled: false, cooldownMs: 60_000 };
  return {
    environment: "development",
    mode: enforce ? "enforce" : "monitor",
    intervalMs: 1_000,
    node: hostname(),
    protect: [decoys],
    rules: {},
    respond: {},
    exceptions: [],
    alerts: {
      clusterAdmins: [],
      minimumSeverity: "medium",
      groupMs: 60_000,
      spool: { directory: join(folder, "spool"), maxAlerts: 100 },
    },
    tenants: [],
    actions: {
      "rotate-master-key": untouched,
      "evict-tenant-keks": untouched,
      "kill-suspect": { enabled: false, scope: [] },
      capture: { enabled: false, directory: join(folder, "captures"), keep: 1 },
    },
    audit: {
      path: auditLogIn(folder),
      keyFile: join(folder, "audit.key"),
      rotateBytes: 64 * 1024 * 1024,
      checkpointEvery: 256,
    },
    enforce: enforce
      ? [
          { protect: decoys, operations: ["memory-read", "ptrace-attach"] },
          // Without a cgroup of its own everybody would be refused.
          { operations: hasCgroup ? ["machine-memory", "core-pattern"] : ["machine-memory"] },
        ]
      : [],
  };
}

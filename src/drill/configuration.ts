// What the drill's monitor is told.

import { hostname } from "node:os";
import { join } from "node:path";
import type { Configuration } from "../configuration.ts";
import type { Ground } from "./ground.ts";

/** What is known to be good, and so compared with. */
export interface KnownGood {
  readonly snapshots: boolean;
  readonly files?: Ground["laid"]["files"];
  readonly programs?: Ground["laid"]["programs"];
}

export interface DrillConfigurationOptions {
  readonly folder: string;
  /** What the decoys are called. */
  readonly decoys: string;
  readonly enforce: boolean;
  /** Whether writes of settings are refused to a cgroup only. */
  readonly hasCgroup: boolean;
  readonly known: KnownGood;
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
  known,
}: DrillConfigurationOptions): Configuration {
  const decoys = { by: "comm", value } as const;
  const untouched = { enabled: false, cooldownMs: 60_000 };
  return {
    environment: "development",
    mode: enforce ? "enforce" : "monitor",
    intervalMs: 1_000,
    node: hostname(),
    protect: [decoys],
    ...knownGood(folder, enforce, known),
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

const EVERY_MS = 1_000;
const HOUR_MS = 3_600_000;
/** What the techniques change, and no more: each is read of every decoy, and the rest of the drill is timed meanwhile. */
const SUBSYSTEMS = ["cgroups", "limits"];

function knownGood(
  folder: string,
  enforce: boolean,
  { snapshots, files, programs }: KnownGood,
): Pick<Configuration, "snapshots" | "files" | "gate"> {
  const unsealed = { publicKeys: [], threshold: 1 } as const;
  return {
    ...(snapshots ? { snapshots: { intervalMs: EVERY_MS, subsystems: SUBSYSTEMS } } : {}),
    ...(files === undefined
      ? {}
      : {
          files: {
            ...unsealed,
            baseline: files.baseline,
            lastGood: join(folder, "files.good"),
            // Once, at the start: what is done after that is for events to tell.
            intervalMs: HOUR_MS,
            realtime: true,
            containers: false,
            fullEveryMs: HOUR_MS,
            bytesPerSecond: 50 * 1024 * 1024,
            paths: [files.folder],
            rules: [],
          },
        }),
    ...(programs === undefined
      ? {}
      : {
          gate: {
            ...unsealed,
            mounts: [{ path: programs.mount, mode: enforce ? "enforce" : "audit", opens: false, below: false }],
            known: [programs.baseline],
            packages: false,
            denied: [],
            rules: [{ name: "known", verdict: "allow", in: ["baseline"] }],
            otherwise: "deny",
            unanswered: "allow",
            deadlineMs: 5_000,
            maxBytes: 64 * 1024 * 1024,
            interpreters: [],
            upgrade: { by: [], marker: join(folder, "upgrade"), atMostMs: 0 },
            stateFile: join(folder, "gate.json"),
          },
        }),
  };
}

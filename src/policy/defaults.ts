// What holds where the configuration file says nothing, in the words of the file.

/** The defaults that do not depend on the node. */
export const DEFAULT = {
  environment: "production",
  mode: "monitor",
  interval: "1s",
  respond: { critical: ["capture"], high: ["capture"] },
  minimumSeverity: "medium",
  group: "60s",
  maxAlerts: 10_000,
  method: "POST",
  timeout: "10s",
  facility: "authpriv",
  cooldown: "60s",
  keep: 100,
  rotateSize: "64MiB",
  checkpointEvery: 256,
  filesInterval: "1h",
  filesFull: "24h",
  filesRate: "50MiB",
  snapshotInterval: "30s",
  /** All there are (baselines/all.ts). */
  snapshotSubsystems: [
    "memory-maps",
    "seccomp",
    "cgroups",
    "capabilities",
    "namespaces",
    "limits",
    "lsm-label",
    "executable",
    "modules",
    "sysctls",
    "security",
  ],
} as const;

// The configurations that rimon is run with here: it tells nobody, acts on nothing, and its files go away.

import { join } from "node:path";
import { hostname } from "node:os";
import type { Configuration } from "../configuration.ts";
import { DETECTORS } from "../detectors/all.ts";
import { parseConfiguration } from "../policy/config.ts";

export interface Settings {
  readonly mode?: "monitor" | "enforce";
  readonly intervalMs?: number;
  /** Where alerts go. */
  readonly webhook?: string;
  /** Repeats within this time are counted and not told. */
  readonly groupMs?: number;
}

/** As a file would say it. */
export function configurationText(folder: string, protect: readonly string[], settings: Settings = {}): string {
  const { mode = "monitor", intervalMs = 1_000, webhook, groupMs } = settings;
  return JSON.stringify({
    environment: "development",
    mode,
    interval: `${intervalMs}ms`,
    protect,
    ...(mode === "enforce"
      ? { enforce: protect.map((each) => ({ protect: each, operations: ["memory-read", "ptrace-attach"] })) }
      : {}),
    alerts: {
      ...(webhook === undefined ? {} : { clusterAdmins: [{ webhook: { url: webhook } }] }),
      ...(groupMs === undefined ? {} : { group: `${groupMs}ms` }),
    },
    actions: { capture: { enabled: false } },
    audit: { path: join(folder, "audit.ndjson") },
  });
}

export function plainConfiguration(folder: string, protect: readonly string[], settings: Settings = {}): Configuration {
  const { configuration } = parseConfiguration(configurationText(folder, protect, settings), {
    file: "bench",
    rules: DETECTORS.map(({ rule }) => rule),
    severities: Object.fromEntries(DETECTORS.map(({ rule, severity }) => [rule, severity])),
    hostname: hostname(),
    stateDirectory: folder,
    now: Date.now(),
  });
  return configuration;
}

// Program: a monitor that tells when it knew what, by the clock that every process of the node shares. What it watches
// comes as the first line of its stdin; further lines ask for counts; it ends with its stdin.

import { createInterface } from "node:readline";
import { reasonOf } from "../errors.ts";
import type { Finding } from "../finding.ts";
import type { Observation } from "../observation.ts";
import { startMonitor } from "../rimon.ts";
import { plainConfiguration, type Settings } from "./configurations.ts";

export interface HostOrder {
  readonly folder: string;
  readonly protect: readonly string[];
  readonly settings: Settings;
  /** Tell each finding; else they are only counted. */
  readonly tell: boolean;
}

/** A finding as the bench needs it. */
export type HostFinding = Pick<Finding, "id" | "rule" | "suspect" | "target" | "subject">;

export type HostLine =
  | { readonly type: "ready"; readonly pid: number; readonly audit: string; readonly live: readonly string[] }
  /** CLOCK_MONOTONIC, decimal nanoseconds. */
  | { readonly type: "finding"; readonly at: string; readonly finding: HostFinding }
  | { readonly type: "synced"; readonly at: string; readonly id: string }
  | { readonly type: "counts"; readonly counts: HostCounts }
  | { readonly type: "failed"; readonly error: string };

export interface HostCounts {
  /** Events of protected processes' memory, those counted and not told by the kernel among them. */
  readonly touches: number;
  readonly accesses: number;
  /** Times that a sensor said that it lost events. */
  readonly losses: number;
  /** How many touches were lost, as it was told. */
  readonly lost: number;
  readonly findings: number;
  readonly blind: number;
  /** Nanoseconds of CPU time. */
  readonly cpuNs: number;
}

const say = (line: HostLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const now = (): string => String(process.hrtime.bigint());
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function host(): Promise<void> {
  const first = await lines.next();
  if (first.done === true) return;
  const { folder, protect, settings, tell } = JSON.parse(first.value) as HostOrder;
  const counts = { touches: 0, accesses: 0, losses: 0, lost: 0, findings: 0, blind: 0 };

  function count(observation: Observation): void {
    if (observation.kind === "memory.touched") counts.touches += 1 + observation.suppressed;
    else if (observation.kind === "procfs.accessed") counts.accesses++;
    else if (observation.kind === "sensor.lost") {
      counts.losses++;
      if (observation.sensor === "mmap-lock") counts.lost += observation.count ?? 0;
    }
  }

  const monitor = await startMonitor({
    // Each act is to be told, however soon the next one comes.
    configuration: withoutGroups(plainConfiguration(folder, protect, settings), tell),
    onObservation: count,
    onRecord(record) {
      if (record.type === "finding") {
        const at = now();
        counts.findings++;
        if (record.rule === "sensor-blind") counts.blind++;
        if (!tell) return;
        const { id, rule, suspect, target, subject } = record;
        const finding: HostFinding = {
          id,
          rule,
          ...(suspect === undefined ? {} : { suspect }),
          ...(target === undefined ? {} : { target }),
          ...(subject === undefined ? {} : { subject }),
        };
        say({ type: "finding", at, finding });
      } else if (record.type === "verdict" && tell) say({ type: "synced", at: now(), id: record.finding.id });
    },
  });
  const live = monitor.status().sensors.flatMap(({ name, state }) => (state === "live" ? [name] : []));
  say({ type: "ready", pid: process.pid, audit: monitor.status().audit.path, live });
  for (;;) {
    const next = await lines.next();
    if (next.done === true) break;
    const { user, system } = process.cpuUsage();
    say({ type: "counts", counts: { ...counts, cpuNs: (user + system) * 1_000 } });
  }
  await monitor.stop();
}

function withoutGroups<T extends { readonly alerts: { readonly groupMs: number } }>(
  configuration: T,
  wanted: boolean,
): T {
  return wanted ? { ...configuration, alerts: { ...configuration.alerts, groupMs: 1 } } : configuration;
}

host().then(
  () => process.exit(0),
  (thrown: unknown) => {
    say({ type: "failed", error: reasonOf(thrown) });
    process.exit(1);
  },
);

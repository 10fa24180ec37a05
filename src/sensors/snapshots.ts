// The isolation structures of the kernel and of every protected process, against what they were when they were first
// seen. Off unless the configuration asks for it.

import type { Configuration } from "../configuration.ts";
import { SUBSYSTEMS } from "../baselines/all.ts";
import type { Anomaly, Snapshot } from "../baselines/snapshot.ts";
import { reasonOf } from "../errors.ts";
import { check, procfs, snapshot } from "../isolation.ts";
import { processKey, type ProcessId } from "../observation.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

/** A program that starts lowers its rights and maps its libraries; then it is what it is. */
const SETTLED_MS = 5_000;
const MAX_CHANGES = 16;
const KERNEL = "kernel";

interface Watched {
  baseline?: Snapshot;
  /** By subsystem: what cannot be compared, as it was told, so that it is told once. */
  incomparable: ReadonlyMap<string, string>;
  nextAt: number;
}

export function createSnapshots(context: SensorContext, settings: () => Configuration["snapshots"]): Sensor {
  const name = "snapshots";
  const report = createStateReporter(context, name);
  let watched = new Map<string, Watched>();

  function look(key: string, id: ProcessId | undefined, intervalMs: number, chosen: readonly string[]): void {
    const now = context.now();
    const each: Watched = watched.get(key) ?? {
      incomparable: new Map(),
      nextAt: now + (id === undefined ? 0 : SETTLED_MS),
    };
    watched.set(key, each);
    if (now < each.nextAt) return;
    each.nextAt = now + intervalMs;
    const of = id === undefined ? "kernel" : "process";
    const subsystems = SUBSYSTEMS.filter((one) => one.of === of && chosen.includes(one.name)).map((one) => one.name);
    if (subsystems.length === 0) return;
    const source = procfs.live(id?.pid);
    if (id !== undefined && source.identity?.().process?.startTime !== id.startTime) return;
    const options = { clock: context.now, subsystems };
    if (each.baseline === undefined) {
      each.baseline = snapshot(source, options);
      return;
    }
    const checked = check(each.baseline, source, options);
    const anomalies = checked.ok ? [] : checked.anomalies;
    // It may have ended while it was read.
    if (id !== undefined && source.identity?.().process?.startTime !== id.startTime) return;
    for (const anomaly of anomalies)
      if (each.incomparable.get(anomaly.subsystem) !== anomaly.message) tell(anomaly, id);
    const lasting = anomalies.filter(({ kind }) => kind !== "changed");
    each.incomparable = new Map(lasting.map(({ subsystem, message }) => [subsystem, message]));
    if (checked.ok) return;
    // What was told is what is there now.
    each.baseline = merged(each.baseline, checked.snapshot);
  }

  function tell({ subsystem, kind, changes, message, evidence }: Anomaly, id: ProcessId | undefined): void {
    context.emit({
      kind: "isolation.changed",
      at: context.now(),
      sensor: name,
      subsystem,
      change: kind,
      ...(id === undefined ? {} : { pid: id.pid, startTime: id.startTime }),
      message,
      changes: changes.slice(0, MAX_CHANGES),
      evidence,
    });
  }

  async function pass(): Promise<void> {
    const asked = settings();
    if (asked === undefined) {
      watched.clear();
      return report("off", "not asked for");
    }
    try {
      const processes = context.protectedProcesses();
      const keys = new Set([KERNEL, ...processes.map(processKey)]);
      watched = new Map([...watched].filter(([key]) => keys.has(key)));
      look(KERNEL, undefined, asked.intervalMs, asked.subsystems);
      for (const id of processes) look(processKey(id), id, asked.intervalMs, asked.subsystems);
      report("live");
    } catch (thrown) {
      report("degraded", reasonOf(thrown));
    }
  }

  return {
    name,
    sees: "isolation structures of protected processes and of the kernel that are not what they were: filters, capabilities, namespaces, cgroups, limits, mappings, modules, settings",
    needs: ["sys_ptrace"],
    start: pass,
    pass,
    notice(observation) {
      // Another program has another layout, and may have other rights.
      if (observation.kind === "process.seen" && observation.by === "exec")
        watched.delete(processKey(observation.process));
    },
    async stop() {},
  };
}

/** What cannot be read, or makes no sense, has no facts to compare with next time: those of before stay. */
function merged(before: Snapshot, now: Snapshot): Snapshot {
  const subsystems = Object.entries(now.subsystems).map(([name, view]) => {
    const old = before.subsystems[name];
    return [name, view.facts === undefined && old !== undefined ? old : view] as const;
  });
  return { ...now, subsystems: Object.fromEntries(subsystems) };
}

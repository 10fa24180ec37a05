// The isolation structures of the kernel and of every protected process, against what they were when they were first
// seen. Off unless the configuration asks for it.

import { statSync } from "node:fs";
import type { BaselineSettings, Configuration } from "../configuration.ts";
import { SUBSYSTEMS } from "../baselines/all.ts";
import type { RefusedBaseline } from "../baselines/in-use.ts";
import { ISOLATION_BASELINE, isolationEntries, type IsolationEntry } from "../baselines/isolation-baseline.ts";
import { SealProblem } from "../baselines/seal.ts";
import { carriedOn, type Anomaly, type Identity, type Snapshot } from "../baselines/snapshot.ts";
import { reasonOf } from "../errors.ts";
import { MAX_CHANGES_TOLD } from "../isolation-changed.ts";
import { check, codeTextOf, createDue, procfs, snapshot, type ProcfsSource } from "../isolation.ts";
import { processKey, type ProcessId } from "../observation.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

/** A program that starts lowers its rights and maps its libraries; then it is what it is. */
export const SETTLED_MS = 5_000;
const KERNEL = "kernel";

/** A baseline expires while nothing changes. */
const SEALED_MS = 3_600_000;

interface Sealed {
  /** Of which file, by which keys. */
  readonly stamp: string;
  readonly openedAt: number;
  readonly counter?: number;
  /** Empty: there is none to be believed. */
  readonly entries: readonly IsolationEntry[];
  /** The refusal that was told, so that it is told once. */
  readonly told?: string;
  readonly trouble?: string;
}

type Settings = NonNullable<Configuration["snapshots"]>;

interface Watched {
  baseline?: Snapshot;
  /** By subsystem: what cannot be compared, as it was told, so that it is told once. */
  incomparable: ReadonlyMap<string, string>;
  nextAt: number;
  readonly due: (nowMs: number) => readonly string[];
}

export function createSnapshots(context: SensorContext, settings: () => Configuration["snapshots"]): Sensor {
  const name = "snapshots";
  const report = createStateReporter(context, name);
  let watched = new Map<string, Watched>();
  let sealed: Sealed | undefined;

  async function look(
    key: string,
    id: ProcessId | undefined,
    { intervalMs, subsystems: chosen }: Settings,
  ): Promise<void> {
    const now = context.now();
    const each = watched.get(key) ?? created(id, now);
    watched.set(key, each);
    if (now < each.nextAt) return;
    each.nextAt = now + intervalMs;
    const subsystems = each.due(now).filter((name) => chosen.includes(name));
    if (subsystems.length === 0) return;
    const source = id === undefined ? procfs.live("self", process.pid) : await sourceOf(id, subsystems);
    if (id !== undefined && source.identity?.().process?.startTime !== id.startTime) return;
    const options = { clock: context.now, subsystems };
    const given = each.baseline ?? sealedFor(key, source.identity?.());
    if (given !== undefined) each.baseline = given;
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
    each.incomparable = new Map([
      ...[...each.incomparable].filter(([subsystem]) => !subsystems.includes(subsystem)),
      ...lasting.map(({ subsystem, message }) => [subsystem, message] as const),
    ]);
    // What was told is what is there now.
    each.baseline = carriedOn(each.baseline, checked.snapshot);
  }

  /** The baseline of the configuration, opened anew when its file is another, or an hour has passed. */
  async function openSealed(settings: BaselineSettings): Promise<void> {
    const now = context.now();
    const stamp = `${JSON.stringify(settings)} ${stampOf(settings.file)}`;
    if (sealed?.stamp === stamp && now - sealed.openedAt < SEALED_MS) return;
    const { opened, refused, notKept } = await context.openBaseline(settings, ISOLATION_BASELINE);
    let [entries, problem]: [readonly IsolationEntry[], RefusedBaseline | undefined] = [[], refused];
    try {
      if (opened !== undefined) entries = isolationEntries(opened.statement);
    } catch (thrown) {
      if (!(thrown instanceof SealProblem)) throw thrown;
      problem ??= { code: thrown.code, message: thrown.message };
    }
    const using = entries.length > 0 ? "last-good" : "none";
    if (problem !== undefined && `${problem.code} ${using}` !== sealed?.told)
      context.emit({
        kind: "baseline.refused",
        at: now,
        sensor: name,
        of: "isolation",
        path: settings.file,
        ...problem,
        using,
      });
    const counter = opened?.header.counter;
    // Another one holds from now on; what differs from it is told anew.
    if (counter !== sealed?.counter) watched.clear();
    sealed = {
      stamp,
      openedAt: now,
      entries,
      ...(counter === undefined ? {} : { counter }),
      ...(problem === undefined ? {} : { told: `${problem.code} ${using}` }),
      ...(problem !== undefined
        ? { trouble: `the baseline is refused (${problem.code})` }
        : notKept === undefined
          ? {}
          : { trouble: notKept }),
    };
  }

  /** Of the kernel, whichever boot; of a process in the life that it was taken of. */
  function sealedFor(key: string, now: Identity | undefined): Snapshot | undefined {
    return sealed?.entries.find(({ snapshot: { boot, process } }) =>
      process === undefined ? key === KERNEL : key !== KERNEL && boot === now?.boot && processKey(process) === key,
    )?.snapshot;
  }

  function created(id: ProcessId | undefined, now: number): Watched {
    const of = id === undefined ? "kernel" : "process";
    const names = SUBSYSTEMS.filter((one) => one.of === of).map((one) => one.name);
    return {
      incomparable: new Map(),
      nextAt: now + (id === undefined ? 0 : SETTLED_MS),
      due: createDue(names),
    };
  }

  /** Code is read off the event loop: there may be a hundred megabytes of it. */
  async function sourceOf({ pid }: ProcessId, subsystems: readonly string[]): Promise<ProcfsSource> {
    const live = procfs.live(pid);
    if (!subsystems.includes("code")) return live;
    const text = await context.procfs
      .code(pid)
      .then(codeTextOf)
      .catch(() => undefined);
    return { ...live, read: (name) => (name === "code" ? text : live.read(name)) };
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
      changes: changes.slice(0, MAX_CHANGES_TOLD),
      evidence,
    });
  }

  async function pass(): Promise<void> {
    const asked = settings();
    if (asked === undefined) {
      watched.clear();
      sealed = undefined;
      return report("off", "not asked for");
    }
    try {
      if (asked.baseline === undefined) sealed = undefined;
      else await openSealed(asked.baseline);
      const processes = context.protectedProcesses();
      const keys = new Set([KERNEL, ...processes.map(processKey)]);
      watched = new Map([...watched].filter(([key]) => keys.has(key)));
      await look(KERNEL, undefined, asked);
      for (const id of processes) await look(processKey(id), id, asked);
      if (sealed?.trouble === undefined) report("live");
      else report("degraded", sealed.trouble);
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

/** Other for every file that was put there or written to; of one that is not there, the errno. */
function stampOf(path: string): string {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(path);
    return [dev, ino, size, mtimeMs, ctimeMs].join(" ");
  } catch (thrown) {
    return reasonOf(thrown);
  }
}

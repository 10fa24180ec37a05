// One pass over the node without becoming its monitor: no audit log, no alert, no act, nothing left attached.

import { createAnalysis } from "./analysis.ts";
import type { BaselineSettings, Configuration } from "./configuration.ts";
import { reasonOf } from "./errors.ts";
import type { Verdict } from "./finding.ts";
import { createIdentifiers } from "./identifier.ts";
import { requireAddon } from "./native.ts";
import type { Observation, SensorState } from "./observation.ts";
import { ancestorsOf } from "./responders/kill-suspect.ts";
import type { SensorStatus } from "./rimon.ts";
import { createSensors } from "./sensors/all.ts";
import type { Sensor } from "./sensors/sensor.ts";
import type { KnownProcess, State } from "./state.ts";
import { openBaseline } from "./store/sealed-baselines.ts";

/** What of a protected process would let its memory end up in a file. */
export interface Weakness {
  readonly pid: number;
  readonly comm: string;
  readonly message: string;
}

export interface Survey {
  readonly state: State;
  readonly processes: number;
  readonly verdicts: readonly Verdict[];
  readonly weaknesses: readonly Weakness[];
  readonly sensors: readonly SensorStatus[];
}

/** Runs every polling sensor once. */
export async function survey(
  configuration: Configuration,
  onProgress: (step: string) => void = () => {},
): Promise<Survey> {
  const { addon, path } = requireAddon();
  const self = { pid: process.pid, ancestors: ancestorsOf(process.pid) };
  const analysis = createAnalysis(configuration, self, createIdentifiers());
  const { state } = analysis;
  const verdicts: Verdict[] = [];
  const states = new Map<string, { state: SensorState; reason?: string }>();
  let sensors: readonly Sensor[] = [];
  const waiting: Observation[] = [];
  let emitting = false;
  const procfs = addon.openProcfs();

  function emit(observation: Observation): void {
    waiting.push(observation);
    if (emitting) return;
    emitting = true;
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (next.kind === "sensor.state")
        states.set(next.sensor, { state: next.state, ...(next.reason === undefined ? {} : { reason: next.reason }) });
      verdicts.push(...analysis.absorb(next));
      for (const sensor of sensors) sensor.notice?.(next);
    }
    emitting = false;
  }

  const context = {
    addon,
    addonPaths: [path],
    procfs,
    emit,
    now: Date.now,
    openBaseline: (settings: BaselineSettings, type: string) => openBaseline(settings, type, Date.now()),
    requestSweep() {},
    protectedProcesses: () =>
      [...state.protectedProcesses()].map(({ process: { pid, startTime } }) => ({ pid, startTime })),
    isProtected: (pid: number) => state.isProtected(pid),
    resolve: (pidNamespace: number, pid: number) => state.findInNamespace(pidNamespace, pid)?.process,
    isLive: () => false,
    lineage: (pid: number, startTime?: number) => state.lineage(pid, startTime),
    refusals: () => [],
    refusedRules: () => [],
    nodeRefusals: () => [],
    exemptions: () => [],
  };
  sensors = createSensors(
    context,
    () => configuration,
    () => [],
    { connector: false, files: false },
  );
  const standing = [
    "proc-connector",
    "fanotify",
    "exec",
    "mmap-lock",
    "ptrace-access",
    "calls",
    "signals",
    "sysctl",
    "own-files",
    "snapshots",
    "file-events",
    "files",
    "exec-gate",
  ];
  const polling = sensors.filter(({ pass, name }) => pass !== undefined && !standing.includes(name));
  for (const sensor of polling) {
    onProgress(sensor.name);
    try {
      await sensor.start();
    } catch (thrown) {
      emit({
        kind: "sensor.state",
        at: Date.now(),
        sensor: sensor.name,
        state: "unavailable",
        reason: reasonOf(thrown),
      });
    }
  }
  for (const sensor of polling) await sensor.settled?.();
  // Who holds key files is known only now; what follows from it is looked at once more.
  for (const sensor of polling) await sensor.pass?.(false);
  for (const sensor of polling) await sensor.stop();
  procfs.close();

  return {
    state,
    processes: [...state.processes()].length,
    verdicts,
    weaknesses: [...state.protectedProcesses()]
      .filter(({ process: { pid } }) => pid !== self.pid)
      .flatMap((known) => weaknessesOf(known, state)),
    sensors: polling.map(({ name, sees, needs }) => ({
      name,
      ...(states.get(name) ?? { state: "unavailable" as const }),
      sees,
      needs,
    })),
  };
}

function weaknessesOf({ process: { pid, comm, uid, euid }, posture }: KnownProcess, state: State): Weakness[] {
  const now = posture?.current;
  if (now === undefined) return [];
  const found: string[] = [];
  const pattern = state.setting("kernel.core_pattern")?.value ?? "";
  const piped = /^[|@]/.test(pattern);
  // Not dumpable can only be told from outside where the owner of its files would differ.
  const dumpable = euid !== undefined && euid !== 0 && now.procOwner !== undefined ? now.procOwner === euid : undefined;
  if (dumpable !== false && piped) {
    found.push(`a crash hands its memory to ${pattern.slice(0, 60)}; RLIMIT_CORE does not stop that`);
  } else if (dumpable !== false && now.coreLimit !== undefined && now.coreLimit[0] !== "0") {
    found.push(`a crash writes its memory to disk (RLIMIT_CORE ${now.coreLimit[0]}); set LimitCORE=0`);
  }
  if (dumpable === true)
    found.push(`it is dumpable: other processes of uid ${uid} may trace it; set PR_SET_DUMPABLE to 0`);
  return found.map((message) => ({ pid, comm, message }));
}

// The spine: sensors, analysis, audit log and responders made into one monitor.
//
//   Observation -> State -> Finding -> Verdict -> Outcome

import { release } from "node:os";
import { fileURLToPath } from "node:url";
import { createAnalysis } from "./analysis.ts";
import { openAnswering } from "./answering.ts";
import type { Configuration } from "./configuration.ts";
import { reasonOf } from "./errors.ts";
import { FORMAT_VERSION, type Finding, type Outcome, type Verdict } from "./finding.ts";
import { createIdentifiers } from "./identifier.ts";
import { addonPath, requireAddon } from "./native.ts";
import type { Observation, SelfTroubled, SensorState } from "./observation.ts";
import type { ResponderOptions } from "./responders/all.ts";
import { ancestorsOf } from "./responders/kill-suspect.ts";
import { createSensors } from "./sensors/all.ts";
import type { OwnFile } from "./sensors/kernel-events.ts";
import type { Sensor, SensorContext } from "./sensors/sensor.ts";
import { exemptionsOf, nodeRefusalsOf, notRefused, refusalsOf, refusedRulesOf } from "./policy/refusals.ts";
import type { State } from "./state.ts";
import { openAuditLog } from "./store/audit-log.ts";
import { openBaseline } from "./store/sealed-baselines.ts";
import { unfinishedVerdicts } from "./store/unfinished.ts";
import { VERSION } from "./package.ts";
import { rehearse } from "./rehearsal.ts";

export interface ProtectedProcess {
  readonly pid: number;
  readonly startTime: number;
  readonly comm: string;
  readonly exe?: string;
  /** The selector or the well-known program that made it so. */
  readonly by: string;
}

export interface SensorStatus {
  readonly name: string;
  readonly state: SensorState;
  readonly reason?: string;
  readonly sees: string;
  /** Capabilities it cannot do without. */
  readonly needs: readonly string[];
}

export interface Status {
  readonly version: typeof FORMAT_VERSION;
  readonly rimon: string;
  readonly time: string;
  readonly node: string;
  readonly kernel: string;
  readonly pid: number;
  readonly uid: number;
  readonly mode: Configuration["mode"];
  readonly environment: Configuration["environment"];
  readonly protected: readonly ProtectedProcess[];
  readonly sensors: readonly SensorStatus[];
  readonly audit: {
    readonly path: string;
    readonly publicKey: string;
    readonly written: number;
    readonly waiting: number;
    readonly lost: number;
  };
  readonly counts: {
    readonly observations: number;
    readonly findings: number;
    readonly verdictsWaiting: number;
    readonly verdictsDropped: number;
  };
}

export type ReadyRecord = { readonly type: "ready"; readonly weakened: readonly string[] } & Status;
export type MonitorRecord = ReadyRecord | Finding | Verdict | Outcome;

export interface MonitorOptions {
  readonly configuration: Configuration;
  /** Sentences about everything weaker than the default that is in force; each start with any is an audit record. */
  readonly weakened?: readonly string[];
  /** The file the configuration came from, to be watched. */
  readonly configurationFile?: string;
  /** Receives every record as it is made. */
  readonly onRecord?: (record: MonitorRecord) => void;
  /** Receives every observation: the recording that replay() reads. */
  readonly onObservation?: (observation: Observation) => void;
  /**
   * The process whose descendants a drill's attackers are: mode enforce spares none of them, and refuses the memory of
   * the machine to nobody else.
   */
  readonly refusedFamily?: number;
  /** The cgroup whose tasks mode enforce refuses writes of settings, instead of everybody; that of a drill's attackers. */
  readonly guardedCgroup?: string;
  /** Where the stdout sink writes. */
  readonly stdout?: ResponderOptions["stdout"];
}

export interface RunningMonitor {
  status(): Status;
  readonly state: State;
  /** Takes over another configuration. The audit log stays where it was opened. */
  reload(configuration: Configuration, weakened: readonly string[]): Promise<void>;
  /** Runs every sensor over the whole node now. */
  sweep(): Promise<void>;
  /** A fact about rimon itself that no sensor reports. */
  trouble(part: SelfTroubled["part"], message: string, recovered?: boolean): void;
  stop(): Promise<void>;
}

/** Starts every sensor; resolves when each is attached or has said why not. */
export async function startMonitor(options: MonitorOptions): Promise<RunningMonitor> {
  let { configuration, weakened = [] } = options;
  /** What is found while the sensors are being attached, until the ready record has been told. */
  let beforeReady: MonitorRecord[] | undefined = [];
  const records = receiverOf(options.onRecord, (message, recovered) =>
    trouble("output", `findings, verdicts and outcomes ${message}`, recovered),
  );
  const observations = receiverOf(options.onObservation, (message, recovered) =>
    trouble("recording", `observations ${message}`, recovered),
  );
  const record = (each: MonitorRecord): void =>
    void (beforeReady === undefined ? records.give(each) : beforeReady.push(each));
  const now = Date.now;
  const loaded = requireAddon();
  const { addon } = loaded;
  addon.harden();

  const self = { pid: process.pid, ancestors: ancestorsOf(process.pid) };
  const newId = createIdentifiers();
  const analysis = createAnalysis(configuration, self, newId);
  const { state } = analysis;
  const counts = { observations: 0, findings: 0 };
  const sensorStates = new Map<string, { readonly state: SensorState; readonly reason?: string }>();
  const pending: Observation[] = [];
  /** Troubles of the start, until there is somebody to judge and answer them. */
  let early: SelfTroubled[] | undefined = [];
  let sensors: readonly Sensor[] = [];
  let emitting = false;
  let stopping = false;

  const audit = await openAuditLog({
    ...configuration.audit,
    now,
    onTrouble: (message, recovered) => trouble("audit", message, recovered),
    start: { rimon: VERSION, node: configuration.node, kernel: release(), pid: process.pid, mode: configuration.mode },
  });
  const answering = await openAnswering({
    configuration,
    addon,
    audit,
    state,
    stdout: options.stdout ?? process.stdout,
    now,
    trouble,
    onVerdict: record,
    onOutcome: record,
  });

  // Before this run judges anything.
  const unfinished = await unfinishedVerdicts(configuration.audit.path).catch((thrown: unknown) => {
    trouble("audit", `what an earlier run did not answer cannot be read from the log: ${reasonOf(thrown)}`);
    return [];
  });

  /** A sensor may emit while it is being told something; that waits its turn. */
  function emit(observation: Observation): void {
    pending.push(observation);
    if (emitting) return;
    emitting = true;
    try {
      for (let next = pending.shift(); next !== undefined; next = pending.shift()) absorb(next);
    } finally {
      emitting = false;
    }
  }

  function absorb(observation: Observation): void {
    counts.observations++;
    observations.give(observation);
    if (observation.kind === "sensor.state") {
      const { sensor, state, reason } = observation;
      sensorStates.set(sensor, { state, ...(reason === undefined ? {} : { reason }) });
    }
    const verdicts = analysis.absorb(observation);
    counts.findings += verdicts.length;
    for (const { finding } of verdicts) record(finding);
    for (const sensor of sensors) sensor.notice?.(observation);
    for (const verdict of verdicts) answering.answer(verdict);
    if (observation.kind !== "tick") return;
    observations.tick();
    records.tick();
  }

  function trouble(part: SelfTroubled["part"], message: string, recovered = false): void {
    const troubled: SelfTroubled = { kind: "self.troubled", at: now(), sensor: "rimon", part, message, recovered };
    if (early !== undefined) early.push(troubled);
    else queueMicrotask(() => emit(troubled));
  }

  const procfs = addon.openProcfs();
  let sweepAsked = false;
  let passing: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  /** Why what is to be refused is not, as last told. */
  let unenforced: string | undefined;

  const context: SensorContext = {
    addon,
    addonPaths: [loaded.path, addonPath("files")],
    procfs,
    emit,
    now,
    openBaseline: (settings, type) => openBaseline(settings, type, now()),
    requestSweep() {
      if (sweepAsked || stopping) return;
      sweepAsked = true;
      schedule(0);
    },
    protectedProcesses: () =>
      [...state.protectedProcesses()].map(({ process: { pid, startTime } }) => ({ pid, startTime })),
    isProtected: (pid) => state.isProtected(pid),
    resolve: (pidNamespace, pid) => state.findInNamespace(pidNamespace, pid)?.process,
    lineage: (pid, startTime) => state.lineage(pid, startTime),
    isLive: (sensor) => sensorStates.get(sensor)?.state === "live",
    refusals: (pid) => refusalsOf(configuration, state.find(pid)?.process),
    refusedRules: () => refusedRulesOf(configuration),
    nodeRefusals: () => nodeRefusalsOf(configuration),
    ...(options.refusedFamily === undefined ? {} : { refusedFamily: options.refusedFamily }),
    ...(options.guardedCgroup === undefined ? {} : { guardedCgroup: options.guardedCgroup }),
    exemptions: (rule) => exemptionsOf(configuration, rule, now()),
  };

  /** Never rejects: there is a next one. */
  async function pass(): Promise<void> {
    const full = sweepAsked;
    sweepAsked = false;
    try {
      for (const sensor of sensors) {
        if (stopping || sensors.length === 0) return;
        try {
          await sensor.pass?.(full);
        } catch (thrown) {
          emit({ kind: "sensor.state", at: now(), sensor: sensor.name, state: "down", reason: reasonOf(thrown) });
        }
      }
      tellEnforcement();
      emit({ kind: "tick", at: now(), sensor: "rimon" });
    } catch (thrown) {
      trouble("pass", `a pass over the node failed: ${reasonOf(thrown)}`);
    }
  }

  /** Told once when it begins and once when it ends: what the configuration wants refused may be only watched. */
  function tellEnforcement(): void {
    const problem = notRefused(configuration, context.isLive);
    if (problem === unenforced) return;
    if (problem === undefined)
      trouble("enforce", "What the configuration wants refused is refused, or no longer wanted.", true);
    else trouble("enforce", problem);
    unenforced = problem;
  }

  async function sweep(): Promise<void> {
    sweepAsked = true;
    passing = passing.then(pass);
    await passing;
  }

  /** The next pass begins an interval after this one began, or at once if it took longer. */
  function schedule(delayMs: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const began = now();
      passing = passing.then(pass).then(() => {
        if (!stopping && sensors.length > 0)
          schedule(sweepAsked ? 0 : Math.max(0, began + configuration.intervalMs - now()));
      });
    }, delayMs);
  }

  const ownFiles: readonly OwnFile[] = [
    { path: process.execPath, role: "program" },
    { path: fileURLToPath(import.meta.url), role: "program" },
    { path: loaded.path, role: "program" },
    { path: addonPath("files"), role: "program" },
    ...(options.configurationFile === undefined
      ? []
      : [{ path: options.configurationFile, role: "configuration" } as const]),
    { path: configuration.audit.path, role: "audit" },
    { path: configuration.audit.keyFile, role: "key" },
  ];

  function status(): Status {
    const { written, waiting, lost } = audit.stats();
    const acts = answering.counts();
    return {
      version: FORMAT_VERSION,
      rimon: VERSION,
      time: new Date(now()).toISOString(),
      node: configuration.node,
      kernel: release(),
      pid: process.pid,
      uid: process.getuid?.() ?? -1,
      mode: configuration.mode,
      environment: configuration.environment,
      protected: [...state.protectedProcesses()].map(({ process: { pid, startTime, comm, exe }, protectedBy }) => ({
        pid,
        startTime,
        comm,
        ...(exe === undefined ? {} : { exe }),
        by: protectedBy ?? "",
      })),
      sensors: sensors.map(({ name, sees, needs }) => ({
        name,
        ...(sensorStates.get(name) ?? { state: "unavailable" as const }),
        sees,
        needs,
      })),
      audit: { path: configuration.audit.path, publicKey: audit.publicKey, written, waiting, lost },
      counts: { ...counts, verdictsWaiting: acts.waiting, verdictsDropped: acts.refused },
    };
  }

  async function startSensors(): Promise<void> {
    rehearse(configuration, newId);
    sensors = createSensors(
      context,
      () => configuration,
      () => ownFiles,
      {
        connector: true,
        files: true,
        exec: true,
        memory: true,
        access: true,
        calls: true,
        signals: true,
        sysctl: true,
      },
    );
    for (const sensor of sensors) {
      try {
        await sensor.start();
      } catch (thrown) {
        emit({
          kind: "sensor.state",
          at: now(),
          sensor: sensor.name,
          state: "unavailable",
          reason: reasonOf(thrown),
        });
      }
    }
    tellEnforcement();
    schedule(configuration.intervalMs);
  }

  async function stopSensors(): Promise<void> {
    const started = sensors;
    sensors = [];
    clearTimeout(timer);
    await passing;
    for (const sensor of started.toReversed()) await sensor.stop();
  }

  async function start(): Promise<void> {
    for (const troubled of early ?? []) emit(troubled);
    early = undefined;
    if (weakened.length > 0) await audit.append("weakened", { weakened });
    if (configuration.mode !== "off") await startSensors();
    await answering.resume(unfinished);
    const ready = status();
    await audit.append("ready", {
      protected: ready.protected,
      sensors: ready.sensors.map(({ name, state, reason }) => ({ name, state, reason })),
    });
    records.give({
      type: "ready",
      ...ready,
      weakened: unenforced === undefined ? weakened : [...weakened, unenforced],
    });
    const held = beforeReady ?? [];
    beforeReady = undefined;
    for (const each of held) records.give(each);
  }

  await start();

  return {
    status,
    state,
    trouble,
    async reload(next, nextWeakened) {
      configuration = { ...next, audit: configuration.audit };
      weakened = nextWeakened;
      analysis.reconfigure(configuration);
      await answering.reload(configuration);
      await audit.append("config", {
        mode: configuration.mode,
        protect: configuration.protect,
        interval: configuration.intervalMs,
      });
      if (weakened.length > 0) await audit.append("weakened", { weakened });
      if (configuration.mode === "off") return stopSensors();
      if (sensors.length === 0) await startSensors();
      await sweep();
    },
    sweep,
    async stop() {
      if (stopping) return;
      stopping = true;
      await stopSensors();
      await answering.close();
      await audit.close();
      procfs.close();
    },
  };
}

interface Receiver<T> {
  give(each: T): void;
  tick(): void;
}

/** Whoever takes what is handed on may throw, as at a full disk: told when it begins and when it is over, never thrown on. */
function receiverOf<T>(
  receive: ((each: T) => void) | undefined,
  tell: (message: string, recovered: boolean) => void,
): Receiver<T> {
  let missed = 0;
  let missedLately = false;
  return {
    give(each) {
      try {
        receive?.(each);
      } catch (thrown) {
        missed++;
        missedLately = true;
        if (missed === 1) tell(`cannot be handed on: ${reasonOf(thrown)}`, false);
      }
    },
    // Not at the first one that is taken again: what tells it is handed on too, and the two would go on for ever.
    tick() {
      if (missed > 0 && !missedLately) {
        tell(`are handed on again; ${missed} were not`, true);
        missed = 0;
      }
      missedLately = false;
    },
  };
}

// The file with every default filled in, still in its own words.

import { DEFAULT } from "./defaults.ts";
import type { File, FileBaseline, FileExec, FileHttp, FileKeyAction, FileSink } from "./schema.ts";

interface Place {
  readonly hostname: string;
  readonly stateDirectory: string;
}

function completeBaseline(file: FileBaseline, lastGood: string) {
  return { threshold: 1, ifRefused: DEFAULT.ifRefused, lastGood, ...file };
}

/** The configuration in the words of the file, every default filled in. */
export function complete(file: File, { hostname, stateDirectory }: Place) {
  const { alerts = {}, actions = {}, audit = {} } = file;
  const kill = actions["kill-suspect"] ?? {};
  const capture = actions.capture ?? {};
  return {
    environment: file.environment ?? DEFAULT.environment,
    mode: file.mode ?? DEFAULT.mode,
    interval: file.interval ?? DEFAULT.interval,
    node: file.node ?? hostname,
    protect: file.protect ?? [],
    ...(file.snapshots === undefined
      ? {}
      : {
          snapshots: {
            interval: file.snapshots.interval ?? DEFAULT.snapshotInterval,
            subsystems: file.snapshots.subsystems ?? DEFAULT.snapshotSubsystems,
            ...(file.snapshots.baseline === undefined
              ? {}
              : { baseline: completeBaseline(file.snapshots.baseline, `${stateDirectory}/baselines/isolation.dsse`) }),
          },
        }),
    ...(file.files === undefined
      ? {}
      : {
          files: {
            baseline: file.files.baseline ?? `${stateDirectory}/files.json`,
            publicKeys: file.files.publicKeys ?? [],
            threshold: file.files.threshold ?? 1,
            lastGood: file.files.lastGood ?? `${stateDirectory}/baselines/files.dsse`,
            realtime: file.files.realtime ?? false,
            containers: file.files.containers ?? false,
            interval: file.files.interval ?? DEFAULT.filesInterval,
            full: file.files.full ?? DEFAULT.filesFull,
            rate: file.files.rate ?? DEFAULT.filesRate,
            ...(file.files.paths === undefined ? {} : { paths: file.files.paths }),
            rules: file.files.rules ?? [],
          },
        }),
    ...(file.gate === undefined ? {} : { gate: completeGate(file.gate, stateDirectory) }),
    rules: file.rules ?? {},
    respond: { ...DEFAULT.respond, ...file.respond },
    exceptions: file.exceptions ?? [],
    alerts: {
      minimumSeverity: alerts.minimumSeverity ?? DEFAULT.minimumSeverity,
      group: alerts.group ?? DEFAULT.group,
      clusterAdmins: (alerts.clusterAdmins ?? []).map(completeSink),
      spool: {
        directory: alerts.spool?.directory ?? `${stateDirectory}/spool`,
        maxAlerts: alerts.spool?.maxAlerts ?? DEFAULT.maxAlerts,
      },
    },
    tenants: (file.tenants ?? []).map((tenant) => ({ ...tenant, admins: (tenant.admins ?? []).map(completeSink) })),
    actions: {
      "rotate-master-key": completeKeyAction(actions["rotate-master-key"] ?? {}),
      "evict-tenant-keks": completeKeyAction(actions["evict-tenant-keks"] ?? {}),
      "kill-suspect": { enabled: kill.enabled ?? false, scope: kill.scope ?? [] },
      capture: {
        enabled: capture.enabled ?? true,
        directory: capture.directory ?? `${stateDirectory}/captures`,
        keep: capture.keep ?? DEFAULT.keep,
      },
    },
    audit: {
      path: audit.path ?? `${stateDirectory}/audit.ndjson`,
      keyFile: audit.keyFile ?? `${stateDirectory}/audit.key`,
      rotateSize: audit.rotateSize ?? DEFAULT.rotateSize,
      checkpointEvery: audit.checkpointEvery ?? DEFAULT.checkpointEvery,
    },
    enforce: file.enforce ?? [],
  };
}

function completeGate(gate: NonNullable<File["gate"]>, stateDirectory: string) {
  const mode = gate.mode ?? DEFAULT.gateMode;
  return {
    mode,
    mounts: gate.mounts.map((mount) => ({ mode, opens: false, below: false, ...mount })),
    known: gate.known ?? [],
    publicKeys: gate.publicKeys ?? [],
    threshold: gate.threshold ?? 1,
    packages: gate.packages ?? false,
    denied: gate.denied ?? [],
    rules: gate.rules ?? DEFAULT.gateRules,
    otherwise: gate.otherwise ?? DEFAULT.gateOtherwise,
    unanswered: gate.unanswered ?? DEFAULT.gateUnanswered,
    deadline: gate.deadline ?? DEFAULT.gateDeadline,
    maxSize: gate.maxSize ?? DEFAULT.gateMaxSize,
    interpreters: gate.interpreters ?? DEFAULT.gateInterpreters,
    upgrade: {
      by: gate.upgrade?.by ?? DEFAULT.gateUpdaters,
      marker: gate.upgrade?.marker ?? DEFAULT.gateUpgradeMarker,
      atMost: gate.upgrade?.atMost ?? DEFAULT.gateUpgradeAtMost,
    },
    stateFile: gate.stateFile ?? `${stateDirectory}/gate.json`,
  };
}

export type Effective = ReturnType<typeof complete>;

function completeHttp<Http extends FileHttp>(target: Http) {
  return { ...target, method: target.method ?? DEFAULT.method, timeout: target.timeout ?? DEFAULT.timeout };
}

function completeExec(target: FileExec) {
  return { ...target, timeout: target.timeout ?? DEFAULT.timeout };
}

function completeSink(settings: FileSink) {
  const { webhook, syslog, falcosidekick, exec } = settings;
  if (webhook !== undefined) return { webhook: completeHttp(webhook) };
  if (falcosidekick !== undefined) return { falcosidekick: completeHttp(falcosidekick) };
  if (syslog !== undefined) return { syslog: { ...syslog, facility: syslog.facility ?? DEFAULT.facility } };
  if (exec !== undefined) return { exec: completeExec(exec) };
  return settings.file === undefined ? { stdout: {} } : { file: settings.file };
}

function completeKeyAction({ enabled, exec, http, socket, cooldown }: FileKeyAction) {
  const at = typeof socket === "string" ? { path: socket } : socket;
  return {
    enabled: enabled ?? (exec ?? http ?? socket) !== undefined,
    ...(exec === undefined ? {} : { exec: completeExec(exec) }),
    ...(http === undefined ? {} : { http: completeHttp(http) }),
    ...(at === undefined ? {} : { socket: { path: at.path, timeout: at.timeout ?? DEFAULT.timeout } }),
    cooldown: cooldown ?? DEFAULT.cooldown,
  };
}

export type EffectiveSink = ReturnType<typeof completeSink>;
export type EffectiveKeyAction = ReturnType<typeof completeKeyAction>;
export type EffectiveExec = ReturnType<typeof completeExec>;
export type EffectiveHttp = ReturnType<typeof completeHttp>;

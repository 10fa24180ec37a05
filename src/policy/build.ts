// From the words of the file to those of configuration.ts.

import type {
  Configuration,
  Driver,
  FileSettings,
  HttpTarget,
  KeyActionSettings,
  SinkSettings,
} from "../configuration.ts";
import { parseSelector } from "../protection.ts";
import type { Effective, EffectiveExec, EffectiveHttp, EffectiveKeyAction, EffectiveSink } from "./complete.ts";
import * as notation from "./notation.ts";

/** The completed file as a Configuration: milliseconds, bytes, selectors. */
export function build(effective: Effective): Configuration {
  const { alerts, actions, audit } = effective;
  return {
    environment: effective.environment,
    mode: effective.mode,
    intervalMs: durationOf(effective.interval),
    node: effective.node,
    protect: effective.protect.map(parseSelector),
    ...(effective.snapshots === undefined
      ? {}
      : {
          snapshots: {
            intervalMs: durationOf(effective.snapshots.interval),
            subsystems: effective.snapshots.subsystems,
            ...(effective.snapshots.baseline === undefined ? {} : { baseline: effective.snapshots.baseline }),
          },
        }),
    ...(effective.files === undefined ? {} : { files: buildFiles(effective.files) }),
    ...(effective.gate === undefined ? {} : { gate: buildGate(effective.gate, effective.mode) }),
    rules: effective.rules as Configuration["rules"],
    respond: effective.respond as Configuration["respond"],
    exceptions: effective.exceptions.map(({ target, expires, suspect, ...rest }) => ({
      ...rest,
      ...(suspect === undefined ? {} : { suspect: { ...suspect, ...lowerCaseDigest(suspect.sha256) } }),
      ...(target === undefined ? {} : { target: parseSelector(target) }),
      ...(expires === undefined ? {} : { expires: new Date(notation.parseExpiry(expires) ?? 0).toISOString() }),
    })),
    alerts: {
      clusterAdmins: alerts.clusterAdmins.map(buildSink),
      minimumSeverity: alerts.minimumSeverity,
      groupMs: durationOf(alerts.group),
      spool: alerts.spool,
    },
    tenants: effective.tenants.map(({ id, processes, admins }) => ({
      id,
      processes: processes.map(parseSelector),
      admins: admins.map(buildSink),
    })),
    actions: {
      "rotate-master-key": buildKeyAction(actions["rotate-master-key"]),
      "evict-tenant-keks": buildKeyAction(actions["evict-tenant-keks"]),
      "kill-suspect": { ...actions["kill-suspect"], scope: actions["kill-suspect"].scope.map(parseSelector) },
      capture: actions.capture,
    },
    audit: {
      path: audit.path,
      keyFile: audit.keyFile,
      rotateBytes: notation.parseSize(audit.rotateSize) ?? 0,
      checkpointEvery: audit.checkpointEvery,
    },
    enforce: effective.enforce.map(({ protect, operations }) =>
      protect === undefined ? { operations } : { protect: parseSelector(protect), operations },
    ),
  };
}

function buildFiles({ interval, full, rate, ...rest }: NonNullable<Effective["files"]>): FileSettings {
  return {
    ...rest,
    intervalMs: durationOf(interval),
    fullEveryMs: durationOf(full),
    bytesPerSecond: notation.parseSize(rate) ?? 0,
  };
}

/** Nothing is refused but in mode enforce: below it the gate only tells. */
function buildGate(
  effective: NonNullable<Effective["gate"]>,
  mode: Configuration["mode"],
): NonNullable<Configuration["gate"]> {
  const { deadline, maxSize, upgrade, mounts, known, publicKeys, threshold, packages, denied } = effective;
  const { rules, otherwise, unanswered, interpreters, stateFile } = effective;
  return {
    known,
    publicKeys,
    threshold,
    packages,
    denied,
    rules,
    otherwise,
    unanswered,
    interpreters,
    stateFile,
    mounts: mounts.map((mount) =>
      mode !== "enforce" && mount.mode === "enforce" ? { ...mount, mode: "audit" } : mount,
    ),
    deadlineMs: durationOf(deadline),
    maxBytes: notation.parseSize(maxSize) ?? 0,
    upgrade: { by: upgrade.by, marker: upgrade.marker, atMostMs: durationOf(upgrade.atMost) },
  };
}

function buildSink(settings: EffectiveSink): SinkSettings {
  if ("webhook" in settings) return { kind: "webhook", ...buildHttp(settings.webhook) };
  if ("falcosidekick" in settings) return { kind: "falcosidekick", ...buildHttp(settings.falcosidekick) };
  if ("file" in settings) return { kind: "file", path: settings.file.path };
  if ("exec" in settings) return { kind: "exec", ...buildExec(settings.exec) };
  if ("stdout" in settings) return { kind: "stdout" };
  const { address, facility } = settings.syslog;
  const target = notation.parseSyslogAddress(address);
  if (target === undefined) throw new TypeError(`a syslog address the schema let through: ${address}`);
  return { kind: "syslog", ...target, facility: notation.FACILITIES[facility] };
}

function buildKeyAction(settings: EffectiveKeyAction): KeyActionSettings {
  const driver = buildDriver(settings);
  const head = { enabled: settings.enabled, cooldownMs: durationOf(settings.cooldown) };
  return driver === undefined ? head : { ...head, driver };
}

function buildDriver({ exec, http, socket }: EffectiveKeyAction): Driver | undefined {
  if (exec !== undefined) return { kind: "exec", ...buildExec(exec) };
  if (socket !== undefined) return { kind: "socket", path: socket.path, timeoutMs: durationOf(socket.timeout) };
  if (http === undefined) return undefined;
  return { kind: "http", ...buildHttp(http), ...(http.body === undefined ? {} : { body: http.body }) };
}

function buildExec({ command, timeout }: EffectiveExec) {
  return { command, timeoutMs: durationOf(timeout) };
}

function buildHttp({ url, method, headersFile, bearer, timeout, caFile }: EffectiveHttp): HttpTarget {
  return {
    url,
    method,
    ...(headersFile === undefined ? {} : { headersFile }),
    ...(bearer === undefined ? {} : { bearer }),
    timeoutMs: durationOf(timeout),
    ...(caFile === undefined ? {} : { caFile }),
  };
}

/** Milliseconds of a duration the schema let through. */
export function durationOf(checkedText: string): number {
  return notation.parseDuration(checkedText) ?? 0;
}

function lowerCaseDigest(sha256: string | undefined) {
  return sha256 === undefined ? {} : { sha256: sha256.toLowerCase() };
}

// What a configuration gives up against the default one. Every start with any of it is an event in the audit log.

import type { Configuration, HttpTarget } from "../configuration.ts";
import { atLeast } from "../finding.ts";
import type { Severity } from "../finding.ts";
import { formatDuration, isClearText } from "./notation.ts";

export interface WeakenedContext {
  /** What counts as the default. */
  readonly intervalMs: number;
  readonly minimumSeverity: Severity;
  /** The rules' own severities, as far as the caller knows them. */
  readonly severities: Readonly<Record<string, Severity>>;
  readonly now: number;
}

/** What a mode does not give that its name may promise. */
export function modeWeakness({
  mode,
  enforce,
  gate,
}: Pick<Configuration, "mode" | "enforce" | "gate">): string | undefined {
  if (mode === "off") return "The mode is off: findings are neither alerted nor answered.";
  const refusing = enforce.length > 0 || gate?.mounts.some((mount) => mount.mode === "enforce") === true;
  if (mode === "enforce" && !refusing)
    return "The mode is enforce, but enforce has no entry: nothing is refused, as in monitor.";
  return undefined;
}

/** A sentence for everything active that is weaker than the default. That kill-suspect is off is the default. */
export function weaknessesOf(configuration: Configuration, context: WeakenedContext): string[] {
  const { alerts, actions, respond } = configuration;
  const sentences: string[] = [];

  if (configuration.environment === "development") {
    sentences.push("The environment is development: exceptions need neither a digest nor an end.");
  }
  const mode = modeWeakness(configuration);
  if (mode !== undefined) sentences.push(mode);
  if (configuration.intervalMs > context.intervalMs) {
    const [now, usual] = [formatDuration(configuration.intervalMs), formatDuration(context.intervalMs)];
    sentences.push(`Processes are looked at every ${now} instead of every ${usual}.`);
  }

  for (const [rule, settings] of Object.entries(configuration.rules)) {
    if (settings.enabled === false) {
      sentences.push(`The rule ${rule} is off.`);
      continue;
    }
    const own = Object.hasOwn(context.severities, rule) ? context.severities[rule] : undefined;
    // Where the rule's own severity is not known, only critical is certain not to be lower.
    if (settings.severity !== undefined && !atLeast(settings.severity, own ?? "critical")) {
      sentences.push(
        `The rule ${rule} has severity ${settings.severity}${own === undefined ? "" : ` instead of ${own}`}.`,
      );
    }
    if (settings.respond !== undefined && !settings.respond.includes("capture")) {
      sentences.push(`Findings of the rule ${rule} are not captured.`);
    }
    if (settings.allow !== undefined && settings.allow.length > 0) {
      sentences.push(`The rule ${rule} allows ${settings.allow.join(", ")}.`);
    }
  }

  for (const exception of configuration.exceptions) {
    if (exception.expires !== undefined && Date.parse(exception.expires) <= context.now) continue;
    const end = exception.expires === undefined ? "without an end" : `until ${exception.expires}`;
    sentences.push(`The rule ${exception.rule} has an exception ${end}: ${exception.reason}`);
  }

  if (!atLeast(context.minimumSeverity, alerts.minimumSeverity)) {
    sentences.push(`Findings below severity ${alerts.minimumSeverity} are not alerted.`);
  }
  for (const severity of ["critical", "high"] as const) {
    if (!(respond[severity] ?? []).includes("capture"))
      sentences.push(`Findings of severity ${severity} are not captured.`);
  }
  if (!actions.capture.enabled) sentences.push("The action capture is off.");

  for (const target of httpTargetsOf(configuration)) {
    const hasSecret = target.bearer !== undefined || target.headersFile !== undefined;
    if (hasSecret && isClearText(target.url)) {
      sentences.push(`Credentials are sent in clear text to ${new URL(target.url).host}.`);
    }
  }
  return sentences;
}

function httpTargetsOf({ alerts, tenants, actions }: Configuration): HttpTarget[] {
  const sinks = [...alerts.clusterAdmins, ...tenants.flatMap(({ admins }) => admins)];
  const drivers = [actions["rotate-master-key"], actions["evict-tenant-keks"]].map(({ driver }) => driver);
  return [
    ...sinks.filter((sink) => sink.kind === "webhook" || sink.kind === "falcosidekick"),
    ...drivers.filter((driver) => driver?.kind === "http"),
  ];
}

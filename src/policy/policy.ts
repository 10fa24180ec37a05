// What is to be done about a finding. Pure: whatever judging needs besides the finding and the configuration is handed
// in as facts. Mode "enforce" concerns the kernel side; the actions here are planned alike in "monitor" and "enforce".

import { ACTION_NAMES } from "../configuration.ts";
import type { ActionName, Configuration, Exception } from "../configuration.ts";
import { atLeast, FORMAT_VERSION } from "../finding.ts";
import type { Finding, PlannedAction, Severity, Verdict } from "../finding.ts";
import type { Process } from "../observation.ts";
import { formatSelector, matches, sameComm } from "../protection.ts";

export interface JudgeFacts {
  readonly ownPid: number;
  /** Pids of rimon's own ancestors. */
  readonly ancestors: ReadonlySet<number>;
  isProtected(pid: number, startTime: number): boolean;
  isKernelThread(pid: number): boolean;
  /** Of the suspect's executable, lower-case hexadecimal; undefined if it could not be read. */
  readonly suspectSha256?: string;
  /** What is known of the target beyond what the finding says. */
  readonly targetProcess?: Process;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** Whether the configuration leaves this rule on. */
export function ruleEnabled(rule: string, configuration: Configuration): boolean {
  return settingsOf(rule, configuration)?.enabled ?? true;
}

/** The severity a finding of this rule gets: the configured one, or else `own`. */
export function severityOf(rule: string, own: Severity, configuration: Configuration): Severity {
  return settingsOf(rule, configuration)?.severity ?? own;
}

/** Decides what is done about a finding, and says why the rest is not. */
export function judge(finding: Finding, configuration: Configuration, facts: JudgeFacts): Verdict {
  const head = { type: "verdict", version: FORMAT_VERSION, finding } as const;
  if (configuration.mode === "off") return { ...head, actions: [] };

  const notes: string[] = [];
  for (const exception of configuration.exceptions) {
    const match = matchException(exception, finding, facts);
    if (match === "yes") return { ...head, actions: [], exception: exception.reason };
    if (match === "digest-unknown") {
      notes.push(
        `the exception "${exception.reason}" was not applied: the digest of the suspect's program is not known`,
      );
    }
  }

  const planned = settingsOf(finding.rule, configuration)?.respond ?? configuration.respond[finding.severity] ?? [];
  const actions: PlannedAction[] = [];
  if (atLeast(finding.severity, configuration.alerts.minimumSeverity)) actions.push({ action: "alert", allowed: true });
  // ACTION_NAMES is the order of acting: evidence first, force last.
  for (const action of ACTION_NAMES) {
    if (!planned.includes(action)) continue;
    const reason = whyNot(action, finding, configuration, facts);
    actions.push(reason === undefined ? { action, allowed: true } : { action, allowed: false, reason });
  }
  return { ...head, actions, ...(notes.length === 0 ? {} : { notes }) };
}

function settingsOf(rule: string, { rules }: Configuration): Configuration["rules"][string] | undefined {
  return Object.hasOwn(rules, rule) ? rules[rule] : undefined;
}

/** Every field that is given has to be known and equal; unknown is not equal. */
function matchException(exception: Exception, finding: Finding, facts: JudgeFacts): "yes" | "no" | "digest-unknown" {
  if (exception.rule !== finding.rule) return "no";
  // An instant that cannot be read has no future.
  if (exception.expires !== undefined && !(facts.at < Date.parse(exception.expires))) return "no";
  if (exception.target !== undefined) {
    const target = facts.targetProcess ?? finding.target;
    if (target === undefined || !matches(exception.target, target)) return "no";
  }
  const wanted = exception.suspect;
  if (wanted === undefined) return "yes";
  const { suspect } = finding;
  if (suspect === undefined) return "no";
  if (wanted.exe !== undefined && wanted.exe !== suspect.exe) return "no";
  if (wanted.uid !== undefined && wanted.uid !== suspect.uid) return "no";
  if (wanted.comm !== undefined && !sameComm(suspect.comm, wanted.comm)) return "no";
  if (wanted.parent !== undefined) {
    const parent = suspect.ancestry?.[0];
    if (parent === undefined || !sameComm(parent.comm, wanted.parent)) return "no";
  }
  if (wanted.sha256 === undefined) return "yes";
  if (facts.suspectSha256 === undefined) return "digest-unknown";
  return wanted.sha256.toLowerCase() === facts.suspectSha256.toLowerCase() ? "yes" : "no";
}

function whyNot(
  action: ActionName,
  finding: Finding,
  configuration: Configuration,
  facts: JudgeFacts,
): string | undefined {
  switch (action) {
    case "capture":
      return configuration.actions.capture.enabled ? undefined : "capture is switched off";
    case "rotate-master-key":
    case "evict-tenant-keks": {
      const { enabled, driver } = configuration.actions[action];
      if (driver === undefined) return `${action} has no driver`;
      return enabled ? undefined : `${action} is switched off`;
    }
    case "kill-suspect":
      return whyNotKill(finding, configuration, facts);
  }
}

function whyNotKill(finding: Finding, configuration: Configuration, facts: JudgeFacts): string | undefined {
  const { enabled, scope } = configuration.actions["kill-suspect"];
  if (!enabled) return "kill-suspect is switched off";

  const { suspect } = finding;
  if (suspect === undefined) return "the suspect is not known";
  const { pid, startTime } = suspect;
  if (startTime < 0)
    return "the suspect was gone before it could be read, so nobody can tell whether its pid is still its own";
  if (pid < 1) return `${pid} is no process`;
  if (pid === 1) return "the suspect is pid 1, which is never killed";
  if (pid === facts.ownPid) return "the suspect is rimon itself";
  if (facts.ancestors.has(pid)) return "the suspect is an ancestor of rimon";
  if (facts.isKernelThread(pid)) return "the suspect is a kernel thread";
  if (facts.isProtected(pid, startTime))
    return "the suspect is itself protected, and a protected process is never stopped";

  if (scope.length === 0) return "the scope of kill-suspect is empty";
  const target = facts.targetProcess ?? finding.target;
  if (target === undefined) return "the target is not known, so it is in no scope";
  if (scope.some((selector) => matches(selector, target))) return undefined;
  return `the target is outside of the scope of kill-suspect (${scope.map(formatSelector).join(", ")})`;
}

// The pure half of the spine: observations in, verdicts out. No I/O and no clock, so that `replay` and a live node
// take the very same way. With rimon.ts the only file that knows several stages.

import { isDeepStrictEqual } from "node:util";
import type { Configuration } from "./configuration.ts";
import { DETECTORS } from "./detectors/all.ts";
import type { Detector, RuleOptions } from "./detectors/detector.ts";
import { FORMAT_VERSION, type Detection, type Finding, type Verdict } from "./finding.ts";
import { holderOf } from "./known-holders.ts";
import type { Observation, Process } from "./observation.ts";
import { createGroups, groupKey, type Groups, type RepeatSummary } from "./policy/grouping.ts";
import { judge, ruleEnabled, severityOf } from "./policy/policy.ts";
import { formatSelector, matches } from "./protection.ts";
import { State, type Protection } from "./state.ts";

/** Who runs the analysis: what is never a suspect to act on, and always protected. */
export interface Self {
  readonly pid: number;
  readonly ancestors: ReadonlySet<number>;
}

export interface Analysis {
  readonly state: State;
  /** What follows from one observation. */
  absorb(observation: Observation): Verdict[];
  reconfigure(configuration: Configuration): void;
}

const MAX_REMEMBERED = 10_000;

export function createAnalysis(configuration: Configuration, self: Self, newId: (at: number) => string): Analysis {
  const state = new State(protectionOf(configuration, self));
  let groups: Groups = createGroups(configuration.alerts.groupMs);
  let rules = rulesOf(configuration);
  /** The verdict on the finding that opened a group, by its id. */
  const openings = new Map<string, Verdict>();
  /** Repeats of groups that a reload ended, to be told at the next tick. */
  let left: RepeatSummary[] = [];

  function absorb(observation: Observation): Verdict[] {
    state.apply(observation);
    const verdicts: Verdict[] = [];
    for (const { detector, options } of rules) {
      const detection = detector.detect(observation, state, options);
      if (detection === undefined) continue;
      const finding = findingOf(detection, detector.severity, observation);
      // Judged each time: an exception may have ended since the group was opened, or the suspect be another program.
      const verdict = verdictOf(finding, observation.at);
      const gravity = verdict.exception === undefined ? finding.severity : "excused";
      if (!groups.admit(groupKey(finding), gravity, observation.at, finding.id).first) continue;
      remember(verdict);
      verdicts.push(verdict);
    }
    if (observation.kind === "tick") verdicts.push(...repeats(observation.at));
    return verdicts;
  }

  function findingOf(detection: Detection, ownSeverity: Finding["severity"], { at, sensor }: Observation): Finding {
    const { rule, technique, operation, subject, message, evidence, everyTenant } = detection;
    const suspect = detection.suspect && state.actor(detection.suspect.pid, detection.suspect.startTime);
    const target = detection.target && state.actor(detection.target.pid, detection.target.startTime);
    const concerned = detection.target && state.find(detection.target.pid, detection.target.startTime)?.process;
    return {
      type: "finding",
      version: FORMAT_VERSION,
      id: newId(at),
      time: new Date(at).toISOString(),
      node: configuration.node,
      rule,
      severity: severityOf(rule, detection.severity ?? ownSeverity, configuration),
      technique,
      operation,
      sensor,
      ...(suspect === undefined ? {} : { suspect }),
      ...(target === undefined ? {} : { target }),
      ...(subject === undefined ? {} : { subject }),
      tenants: everyTenant === true ? tenantsOfNode() : concerned === undefined ? [] : tenantsOf(concerned),
      message,
      count: 1,
      evidence,
    };
  }

  function verdictOf(finding: Finding, at: number): Verdict {
    const { suspect, target } = finding;
    const known = suspect && state.find(suspect.pid, suspect.startTime)?.process;
    const sha256 = known && state.executable(known.exeFile)?.sha256;
    const targetProcess = target && state.find(target.pid, target.startTime)?.process;
    return judge(finding, configuration, {
      ownPid: self.pid,
      ancestors: self.ancestors,
      isProtected: (pid, startTime) => state.isProtected(pid, startTime),
      isKernelThread: (pid) => state.find(pid)?.process.kernelThread === true,
      ...(sha256 === undefined ? {} : { suspectSha256: sha256 }),
      ...(targetProcess === undefined ? {} : { targetProcess }),
      at,
    });
  }

  /** A group that went on is told once more, with its count; what had to be done was done at its first finding. */
  function repeats(at: number): Verdict[] {
    const due = [...left, ...groups.tick(at)];
    left = [];
    return due.flatMap(({ first, total }): Verdict[] => {
      const opening = openings.get(first);
      if (opening === undefined) return [];
      const finding: Finding = {
        ...opening.finding,
        id: newId(at),
        time: new Date(at).toISOString(),
        count: total,
        repeats: first,
        message: `${opening.finding.message} (${total} times since ${opening.finding.time})`,
        evidence: [],
      };
      // Each of them was excused when it came, whatever holds now.
      if (opening.exception !== undefined) return [{ ...opening, finding }];
      const verdict = verdictOf(finding, at);
      return [{ ...verdict, actions: verdict.actions.filter(({ action }) => action === "alert") }];
    });
  }

  function remember(verdict: Verdict): void {
    const { finding } = verdict;
    openings.set(finding.id, { ...verdict, finding: { ...finding, evidence: [] } });
    for (const oldest of openings.keys()) {
      if (openings.size <= MAX_REMEMBERED) break;
      openings.delete(oldest);
    }
  }

  function tenantsOf(process: Process): string[] {
    return configuration.tenants
      .filter(({ processes }) => processes.some((selector) => matches(selector, process)))
      .map(({ id }) => id);
  }

  function tenantsOfNode(): string[] {
    const ids = new Set<string>();
    for (const { process } of state.protectedProcesses()) for (const id of tenantsOf(process)) ids.add(id);
    return [...ids];
  }

  return {
    state,
    absorb,
    reconfigure(next) {
      // What goes on is judged and answered anew: its group may be one of which nothing was to be done until now.
      if (!isDeepStrictEqual(next, configuration)) {
        left.push(...groups.end());
        groups = createGroups(next.alerts.groupMs);
      }
      configuration = next;
      rules = rulesOf(next);
      state.protectBy(protectionOf(next, self));
    },
  };
}

interface Rule {
  readonly detector: Detector;
  readonly options: RuleOptions;
}

/** Those that are on: looked up once, not for every observation. */
function rulesOf(configuration: Configuration): readonly Rule[] {
  return DETECTORS.filter(({ rule }) => ruleEnabled(rule, configuration)).map((detector) => ({
    detector,
    options: { allow: configuration.rules[detector.rule]?.allow ?? [] },
  }));
}

/** Who is protected, and the words that say why. */
export function protectionOf(configuration: Configuration, self: Pick<Self, "pid">): Protection {
  return (process, facts) => {
    if (process.pid === self.pid) return "rimon itself";
    if (configuration.protect.length === 0) return holderOf(process, facts)?.name;
    const selector = configuration.protect.find((each) => matches(each, process));
    return selector && formatSelector(selector);
  };
}

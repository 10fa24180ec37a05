// Runs techniques against decoys of its own, under a monitor of its own, and says what that monitor saw. All of these are
// children; nothing else is touched, and neither process nor file is left.

import { realpathSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { RimonError, reasonOf } from "../errors.ts";
import type { Severity } from "../finding.ts";
import { requireDrillAddon } from "../native.ts";
import type { SensorStatus } from "../rimon.ts";
import { makeCgroup } from "./cgroup.ts";
import { DECOY_NAME } from "./comm.ts";
import { auditLogIn } from "./configuration.ts";
import { layGround, type Ground, type KnownFiles } from "./ground.ts";
import { startLookout, type Lookout } from "./lookouts.ts";
import { NotRun, Refused } from "./not-done.ts";
import { createRange, type Range } from "./range.ts";
import { about, by, on, type Deed, type Sighting, type Staged, type Technique } from "./technique.ts";
import { TECHNIQUES } from "./techniques/all.ts";

/**
 * "stopped" was answered by the kernel before a byte came out (--enforce); "missed" should have been seen by a sensor that is live here; "blind" is beyond the sensors that are; "refused" is
 * what the kernel did not allow; "not-run" is what this node lacks a program for, or the kernel does not know.
 */
export type DrillOutcome = "stopped" | "seen" | "missed" | "blind" | "refused" | "not-run";

export interface DrillResult {
  readonly technique: string;
  readonly outcome: DrillOutcome;
  readonly detected: boolean;
  /** Whether the finding names the attacker; null if there was no finding, or it can name nobody by design. */
  readonly attributed: boolean | null;
  readonly sensor: string | null;
  readonly rule: string | null;
  readonly severity: Severity | null;
  readonly suspect: { readonly pid: number; readonly comm: string } | null;
  /** From right before the act to the finding; null for what began before the monitor. */
  readonly latencyMs: number | null;
  /** From the act to the finding, of what is found by a look at an interval: that says more of the interval than of the sensor. */
  readonly afterActMs?: number;
  /** From the monitor's start to the finding, of what began before it and was found as it started. */
  readonly afterStartMs?: number;
  /** How many bytes of the decoy's secret came out. */
  readonly leakedBytes: number;
  /** The kernel was to stop it. */
  readonly enforced?: true;
  /** Why it was not seen, or not run. */
  readonly reason?: string;
  /** What would see it. */
  readonly needs?: "eBPF";
}

/** How long after the act the findings came, of all techniques that were seen and acted under the monitor's eyes. */
export interface DrillLatency {
  readonly techniques: number;
  /** Half of the techniques were found in no more than this time. */
  readonly p50Ms: number;
  /** 99 of 100. */
  readonly p99Ms: number;
}

export interface DrillReport {
  readonly results: readonly DrillResult[];
  /** The sensors at the end of the drill. */
  readonly sensors: readonly SensorStatus[];
}

export interface DrillOptions {
  /** Names of the techniques to run; every one if not given. None: the monitor is started and looked at only. */
  readonly only?: readonly string[];
  /** Has the kernel stop who reads or writes the memory of the drill's own decoys. */
  readonly enforce?: boolean;
  readonly signal?: AbortSignal;
  /** Told what is being done. */
  readonly onProgress?: (doing: string) => void;
  /** Told every result, in the order of the techniques; those of known good come last. */
  readonly onResult?: (result: DrillResult) => void;
}

/** How long after an act a finding may come. */
const WAIT_MS = 3_000;
/** How long the first look at all files may take. */
const COMPARED_WITHIN_MS = 20_000;
/** Techniques staged at a time, each with up to two processes. */
const STAGED_AT_ONCE = 4;
/** What they find they find at an interval. */
const AT_INTERVALS: readonly string[] = ["snapshots", "files"];
const STOPPED = /(?<!-not)-(?:stopped|refused)$/;
/** The rules that what was stopped is told by. */
const STOPPING: readonly string[] = ["memory-read", "ptrace-attach", "core-dump"];

interface Prepared {
  readonly technique: Technique;
  readonly range: Range;
  readonly staged: Staged | undefined;
  /** Why it could not be staged. */
  readonly failure: unknown;
}

interface Arrival {
  readonly finding: Sighting;
  /** CLOCK_MONOTONIC in ns, when it was made. */
  readonly at: bigint;
}

/** Runs the drill; rejects once everything is cleaned up: with the signal's reason if it is aborted, with the monitor's if that fails. */
export async function runDrill(options: DrillOptions = {}): Promise<DrillReport> {
  const techniques = choose(options.only);
  const known = techniques.filter(({ knows }) => knows !== undefined);
  const others = techniques.filter(({ knows }) => knows === undefined);
  const count = techniques.length;
  if (known.length === 0 || others.length === 0) return drillUnderOne(techniques, options, { before: 0, count });
  // The sensors of known good are off by default: what is found without them is timed without them.
  const first = await drillUnderOne(others, options, { before: 0, count });
  const second = await drillUnderOne(known, options, { before: others.length, count });
  const asked = new Map(second.sensors.map((sensor) => [sensor.name, sensor]));
  return {
    results: [...first.results, ...second.results],
    sensors: first.sensors.map((sensor) => (sensor.state === "off" ? (asked.get(sensor.name) ?? sensor) : sensor)),
  };
}

/** Under one monitor, with the sensors that the techniques ask for. */
async function drillUnderOne(
  techniques: readonly Technique[],
  options: DrillOptions,
  { before, count }: { readonly before: number; readonly count: number },
): Promise<DrillReport> {
  const { onProgress = () => {} } = options;
  const lost = new AbortController();
  const signal = AbortSignal.any([lost.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  requireDrillAddon();
  signal.throwIfAborted();

  const root = await mkdtemp(join(realpathSync(tmpdir()), "rimon-drill-"));
  const enforce = options.enforce === true;
  const cgroup = enforce ? makeCgroup(basename(root)) : undefined;
  const folder = join(root, "state");
  const ranges = new Set<Range>();
  const arrivals: Arrival[] = [];
  const watchers = new Set<() => void>();
  const waiting = new Set<() => void>();
  const results: (DrillResult | undefined)[] = techniques.map(() => undefined);
  const underWay: Promise<void>[] = [];
  let told = 0;
  let startedAt = 0n;
  let lookout: Lookout | undefined;
  let ground: Ground | undefined;

  async function prepare(technique: Technique, laid: Ground): Promise<Prepared> {
    const range = createRange({
      root,
      name: technique.name,
      auditLog: auditLogIn(folder),
      cgroup,
      ground: laid,
      monitorStartedAt: () => startedAt,
    });
    ranges.add(range);
    try {
      return { technique, range, staged: await technique.stage(range), failure: undefined };
    } catch (thrown) {
      return { technique, range, staged: undefined, failure: thrown };
    }
  }

  async function prepareAll(chosen: readonly Technique[], laid: Ground): Promise<Prepared[]> {
    const prepared: Prepared[] = [];
    for (let index = 0; index < chosen.length; index += STAGED_AT_ONCE) {
      signal.throwIfAborted();
      prepared.push(
        ...(await Promise.all(chosen.slice(index, index + STAGED_AT_ONCE).map((each) => prepare(each, laid)))),
      );
    }
    return prepared;
  }

  /** What comes of it, unless the drill is ended before. */
  function unlessEnded<Value>(promise: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(signal.reason);
      waiting.add(ended);
      if (signal.aborted) ended();
      promise.then(resolve, reject).finally(() => waiting.delete(ended));
    });
  }

  /** Whether it becomes true, asked again at every finding. */
  function comesTrue(condition: () => boolean, withinMs: number): Promise<boolean> {
    let look = (): void => {};
    let timer: NodeJS.Timeout | undefined;
    const becomes = new Promise<boolean>((resolve) => {
      look = () => void (condition() && resolve(true));
      timer = setTimeout(() => resolve(condition()), withinMs);
      watchers.add(look);
      look();
    });
    return unlessEnded(becomes).finally(() => {
      clearTimeout(timer);
      watchers.delete(look);
    });
  }

  async function beWatched(running: Lookout, pid: number, { settled, knows }: Technique): Promise<void> {
    const question = { pid, settled: settled === true, snapshot: knows === "snapshots" };
    switch (await unlessEnded(running.ask(question))) {
      case "not-seen":
        throw new NotRun("rimon did not come to see its own decoy");
      case "not-read":
        throw new NotRun("rimon cannot read the address space of its own decoy");
      case "not-taken":
        throw new NotRun("rimon did not come to take a snapshot of its own decoy");
    }
  }

  /** Or else the look at the start could be the one that finds what is done now. */
  async function beCompared({ last }: KnownFiles): Promise<void> {
    await comesTrue(() => arrivals.some(({ finding }) => about(last)(finding)), COMPARED_WITHIN_MS);
  }

  async function run(running: Lookout, index: number, { technique, range, staged, failure }: Prepared) {
    const finish = async (result: DrillResult): Promise<void> => {
      await range.end();
      ranges.delete(range);
      results[index] = result;
      for (let next = results[told]; next !== undefined; next = results[told]) {
        told++;
        options.onResult?.(next);
      }
    };
    try {
      if (staged === undefined) throw failure;
      if (staged.target !== undefined) await beWatched(running, staged.target, technique);
      if (technique.knows === "files") await beCompared(range.ground.files());
      const { deed, refused } = await (enforce
        ? actOrBeRefused(staged)
        : { deed: await staged.act(), refused: undefined });
      const enforced = enforce && (isToBeStopped(technique, running.sensors()) || refused !== undefined);
      const find = (stopped: boolean): Arrival | undefined => firstOf(technique, deed, arrivals, stopped);
      const lookedFor = comesTrue(() => find(enforced) !== undefined, WAIT_MS).then(() => {
        const arrival = find(enforced) ?? find(false);
        // Refused, and not by rimon: the kernel has reasons of its own.
        if (arrival === undefined && refused !== undefined) return finish(notDone(technique, refused));
        return finish(judge(technique, deed, arrival, running.sensors(), enforced));
      });
      // What nobody is expected to see is waited for while the next one is done.
      if (liveAmong(technique, running.sensors())) await lookedFor;
      else {
        lookedFor.catch(() => {});
        underWay.push(lookedFor);
      }
    } catch (thrown) {
      signal.throwIfAborted();
      await finish(notDone(technique, thrown));
    }
  }

  async function runAll(): Promise<DrillReport> {
    onProgress("starting the decoys that must be there first");
    const laid = await layGround({
      folder: join(root, "known"),
      known: new Set(techniques.flatMap(({ knows }) => knows ?? [])),
      files: techniques.filter(({ knows }) => knows === "files").map(({ name }) => name),
    });
    ground = laid;
    signal.throwIfAborted();
    const first = techniques.filter(
      ({ early, settled, knows }) => early === true || settled === true || knows === "snapshots",
    );
    const prepared = new Map((await prepareAll(first, laid)).map((each) => [each.technique, each]));
    signal.throwIfAborted();

    onProgress("starting the sensors");
    const running = startLookout({
      folder,
      decoys: DECOY_NAME,
      enforce,
      drill: process.pid,
      known: { snapshots: laid.snapshots, ...laid.laid },
      ...(cgroup === undefined ? {} : { cgroup: cgroup.path }),
      onSighting(finding, at) {
        arrivals.push({ finding, at });
        for (const look of watchers) look();
      },
      onLost: (reason) => lost.abort(reason),
    });
    lookout = running;
    startedAt = await unlessEnded(running.ready);
    for (const [index, technique] of techniques.entries()) {
      signal.throwIfAborted();
      onProgress(`${before + index + 1} of ${count}: ${technique.name}: ${technique.summary}`);
      if (!prepared.has(technique)) {
        const next = techniques.slice(index).filter((each) => !prepared.has(each));
        for (const each of await prepareAll(next.slice(0, STAGED_AT_ONCE), laid)) prepared.set(each.technique, each);
      }
      const ready = prepared.get(technique);
      if (ready !== undefined) await run(running, index, ready);
    }
    if (underWay.length > 0) onProgress("waiting for what nobody is expected to see");
    await Promise.all(underWay);
    return { results: results.filter((result) => result !== undefined), sensors: running.sensors() };
  }

  // What waits for an answer of a child is woken by the child's end.
  const endAll = (): Promise<unknown> => Promise.all([...ranges].map((range) => range.end()));
  const aborted = (): void => {
    for (const each of waiting) each();
    void endAll().catch(() => {});
  };
  signal.addEventListener("abort", aborted);
  try {
    return await runAll();
  } finally {
    signal.removeEventListener("abort", aborted);
    await Promise.allSettled(underWay);
    await endAll();
    try {
      await lookout?.stop();
    } finally {
      await ground?.end();
      rmSync(root, { recursive: true, force: true });
      cgroup?.remove();
    }
  }
}

/** Undefined if nothing was seen whose act was timed. */
export function drillLatency(results: readonly DrillResult[]): DrillLatency | undefined {
  const sorted = results.flatMap(({ latencyMs }) => latencyMs ?? []).sort((a, b) => a - b);
  // The nearest rank: a time that was measured, never one between two.
  const ranked = (percent: number): number | undefined => sorted[Math.ceil((sorted.length * percent) / 100) - 1];
  const [p50Ms, p99Ms] = [ranked(50), ranked(99)];
  return p50Ms === undefined || p99Ms === undefined ? undefined : { techniques: sorted.length, p50Ms, p99Ms };
}

/** The exit code a drill ends with: 0 if nothing was missed and all was stopped that is to be, 1 if not, 3 if nothing could be done. */
export function drillExitCode(results: readonly DrillResult[]): number {
  if (results.every(({ outcome }) => outcome === "not-run" || outcome === "refused")) return 3;
  const failed = results.some(
    ({ outcome, enforced }) =>
      outcome === "missed" || (enforced === true && (outcome === "seen" || outcome === "blind")),
  );
  return failed ? 1 : 0;
}

function choose(only: readonly string[] | undefined): readonly Technique[] {
  const unknown = only?.find((name) => !TECHNIQUES.some((technique) => technique.name === name));
  if (unknown !== undefined) {
    const names = TECHNIQUES.map(({ name }) => name).join(", ");
    throw new RimonError("RIMON_USAGE", `there is no technique "${unknown}"; expected one of ${names}`);
  }
  return TECHNIQUES.filter(({ name }) => only?.includes(name) ?? true);
}

function firstOf(
  { rules }: Technique,
  deed: Deed,
  arrivals: readonly Arrival[],
  stopped: boolean,
): Arrival | undefined {
  return arrivals.find(
    ({ finding, at }) =>
      at >= deed.at && (stopped ? wasAnswered(finding) : rules.includes(finding.rule)) && deed.concerns(finding),
  );
}

/** What the kernel or the exec gate did about it, and not what was done. */
function wasAnswered({ rule, operation }: Sighting): boolean {
  return rule === "exec-denied" ? operation === "deny" : STOPPED.test(operation) && STOPPING.includes(rule);
}

/** The deed; or what there is of one that the kernel did not let happen, which gives nothing to anybody. */
async function actOrBeRefused(staged: Staged): Promise<{ readonly deed: Deed; readonly refused: Refused | undefined }> {
  const at = process.hrtime.bigint();
  try {
    return { deed: await staged.act(), refused: undefined };
  } catch (thrown) {
    if (!(thrown instanceof Refused)) throw thrown;
    const { attacker } = thrown;
    const { target } = staged;
    const concerns = target !== undefined ? on(target) : attacker !== undefined ? by(attacker) : undefined;
    if (concerns === undefined) throw thrown;
    const deed = { at, leakedBytes: 0, concerns, ...(attacker === undefined ? {} : { attacker }) };
    return { deed, refused: thrown };
  }
}

function isToBeStopped({ stopped, stoppedBy }: Technique, sensors: readonly SensorStatus[]): boolean {
  return stopped === true && (stoppedBy === undefined || liveAmong({ expected: [stoppedBy] }, sensors));
}

function isLive({ state }: SensorStatus): boolean {
  return state === "live" || state === "degraded";
}

function liveAmong({ expected }: Pick<Technique, "expected">, sensors: readonly SensorStatus[]): boolean {
  return sensors.some((sensor) => expected.includes(sensor.name) && isLive(sensor));
}

function judge(
  technique: Technique,
  deed: Deed,
  arrival: Arrival | undefined,
  sensors: readonly SensorStatus[],
  enforced: boolean,
): DrillResult {
  const { name, anonymous, namedBy, expected, needs, early } = technique;
  const { attacker, leakedBytes } = deed;
  if (arrival === undefined) {
    const missed = liveAmong(technique, sensors);
    const reason = missed
      ? `${expected.join(" or ")} should have seen it within ${WAIT_MS / 1_000} s`
      : whyBlind(technique, sensors);
    const result = {
      ...unseen(name, missed ? "missed" : "blind", reason),
      leakedBytes,
      ...(enforced ? { enforced } : {}),
    };
    return needs === undefined ? result : { ...result, needs };
  }
  const { finding, at } = arrival;
  const { suspect, sensor, rule, severity } = finding;
  const answered = wasAnswered(finding);
  const unnamed = anonymous === true || (anonymous === "sometimes" && suspect === undefined);
  // Who was answered is known, whoever sees what comes of the act.
  const nameless = !answered && (unnamed || (namedBy !== undefined && !liveAmong({ expected: [namedBy] }, sensors)));
  const stopped = enforced && leakedBytes === 0 && answered;
  // That somebody holds it is found at the start; that somebody was kept from using it, when it is used.
  const elapsed = Math.round(Number(at - ((answered ? deed.usedAt : undefined) ?? deed.at)) / 1e5) / 10;
  return {
    technique: name,
    outcome: stopped ? "stopped" : "seen",
    detected: true,
    attributed: nameless || attacker === undefined ? null : by(attacker)(finding),
    sensor,
    rule,
    severity,
    suspect: suspect === undefined ? null : { pid: suspect.pid, comm: suspect.comm },
    ...timeOf(elapsed, early === true && !answered, AT_INTERVALS.includes(sensor)),
    leakedBytes,
    ...(enforced ? { enforced } : {}),
    ...(enforced && !stopped ? { reason: "it was to be stopped and was not" } : {}),
  };
}

function timeOf(
  elapsed: number,
  sinceStart: boolean,
  atInterval: boolean,
): Pick<DrillResult, "latencyMs" | "afterStartMs" | "afterActMs"> {
  if (sinceStart) return { latencyMs: null, afterStartMs: elapsed };
  return atInterval ? { latencyMs: null, afterActMs: elapsed } : { latencyMs: elapsed };
}

function whyBlind({ expected }: Technique, sensors: readonly SensorStatus[]): string {
  const reasons = sensors
    .filter(({ name }) => expected.includes(name))
    .map(({ name, state, reason }) => `${name} is ${state}${reason === undefined ? "" : ` (${reason})`}`);
  return reasons.join(", ");
}

function notDone({ name }: Technique, thrown: unknown): DrillResult {
  if (thrown instanceof Refused) return unseen(name, "refused", `the kernel refused it: ${thrown.message}`);
  return unseen(name, "not-run", reasonOf(thrown));
}

function unseen(technique: string, outcome: DrillOutcome, reason: string): DrillResult {
  return {
    technique,
    outcome,
    detected: false,
    attributed: null,
    sensor: null,
    rule: null,
    severity: null,
    suspect: null,
    latencyMs: null,
    leakedBytes: 0,
    reason,
  };
}

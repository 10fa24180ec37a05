// Program: the drill's monitor, in a process of its own as that of `rimon run` is, so that what the drill does holds up no
// finding. What it is to be comes as the first line of its stdin; it tells on descriptor 3 what it found and when, and
// ends with its stdin, however that ends.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Socket } from "node:net";
import { RimonError, reasonOf, type ErrorCode } from "../errors.ts";
import type { Finding } from "../finding.ts";
import type { SensorState } from "../observation.ts";
import { startMonitor, type MonitorRecord, type RunningMonitor, type SensorStatus } from "../rimon.ts";
import { SETTLED_MS } from "../sensors/snapshots.ts";
import { drillConfiguration, type KnownGood } from "./configuration.ts";
import { ownTmpfsProblem } from "./ground.ts";
import type { Sighting } from "./technique.ts";

/** The first line: what to watch, and how. */
export interface LookoutStart {
  /** Where its audit log and its key come to lie. */
  readonly folder: string;
  /** What the decoys are called. */
  readonly decoys: string;
  readonly enforce: boolean;
  /** The drill: whose descendants are meant by what is refused. */
  readonly drill: number;
  readonly known: KnownGood;
  /** The cgroup whose tasks are refused writes of settings; without one nobody is. */
  readonly cgroup?: string;
}

/**
 * Every further line: whether this process comes to be protected, with `settled` its address space to be known for a while,
 * with `snapshot` a snapshot to be taken of it.
 */
export interface LookoutQuestion {
  readonly pid: number;
  readonly settled: boolean;
  readonly snapshot: boolean;
}

export type LookoutAnswer = "watched" | "not-seen" | "not-read" | "not-taken";

export type LookoutLine =
  /** CLOCK_MONOTONIC in ns, decimal, right before the sensors were started. */
  | { readonly type: "ready"; readonly startedAt: string; readonly sensors: readonly SensorStatus[] }
  /** CLOCK_MONOTONIC in ns, decimal, when the finding was made. */
  | { readonly type: "sighting"; readonly at: string; readonly sighting: Sighting }
  | { readonly type: "sensor"; readonly name: string; readonly state: SensorState; readonly reason?: string }
  | { readonly type: "answer"; readonly answer: LookoutAnswer }
  | { readonly type: "failed"; readonly code?: ErrorCode; readonly error: string };

const PROTECTED_WITHIN_MS = 5_000;
/** A fresh address space may grow for three seconds; a pass must have seen it after that. */
const SETTLED_AFTER_MS = 3_100;
const SETTLED_WITHIN_MS = 15_000;
const TAKEN_WITHIN_MS = 20_000;
const MAX_SIGHTINGS = 10_000;
const MAX_ANCESTRY = 64;
/** Bytes that the drill did not take. */
const MAX_UNTOLD = 4 * 1024 * 1024;

const told = new Socket({ fd: 3, readable: false, writable: true });
// The drill is gone: that is told by stdin.
told.on("error", () => {});

let untold: LookoutLine[] = [];

/** After everything that waits to be judged: what is told of one finding must not hold up the next. */
function say(line: LookoutLine): void {
  if (untold.push(line) === 1) setImmediate(tell);
}

function tell(): void {
  const lines = untold;
  untold = [];
  told.write(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  if (told.writableLength > MAX_UNTOLD) throw new Error(`the drill left ${told.writableLength} bytes unread`);
}

async function watch(lines: AsyncIterator<string>): Promise<void> {
  const first = await lines.next();
  if (first.done === true) return;
  const { folder, decoys, enforce, drill, cgroup, known } = JSON.parse(first.value) as LookoutStart;
  let sightings = 0;
  let ready = false;
  let running: RunningMonitor | undefined;
  /** Looks again whether what is asked for is true. */
  let look: (() => void) | undefined;

  const onRecord = (record: MonitorRecord): void => {
    if (record.type !== "finding" || record.repeats !== undefined) return;
    const at = String(process.hrtime.bigint());
    if (++sightings <= MAX_SIGHTINGS) say({ type: "sighting", at, sighting: sightingOf(record) });
  };

  /** By pid, of whom is protected: the end of the pass by which the sensor of snapshots has come to know it. */
  const metAt = new Map<number, number | undefined>();
  const taken = new Set<number>();
  let lastPassAt = -Infinity;
  const isTaken = (pid: number): boolean => taken.has(pid);

  /** A pass is over: the sensor takes a snapshot in the first that begins when a process has settled. */
  function passed(at: number): void {
    for (const { process } of running?.state.protectedProcesses() ?? []) {
      const met = metAt.get(process.pid);
      if (met !== undefined && lastPassAt >= met + SETTLED_MS) taken.add(process.pid);
      // It may have come to be protected behind the sensor's back, in the midst of the first.
      else if (!metAt.has(process.pid)) metAt.set(process.pid, undefined);
      else metAt.set(process.pid, met ?? at);
    }
    lastPassAt = at;
  }

  const startedAt = String(process.hrtime.bigint());
  const monitor = await startMonitor({
    configuration: drillConfiguration({
      folder,
      decoys,
      enforce,
      hasCgroup: cgroup !== undefined,
      known: withOwnTmpfs(known),
    }),
    ...(enforce ? { refusedFamily: drill } : {}),
    ...(cgroup === undefined ? {} : { guardedCgroup: cgroup }),
    onRecord,
    onObservation(observation) {
      if (observation.kind === "tick") passed(observation.at);
      if (look !== undefined) queueMicrotask(look);
      if (!ready || observation.kind !== "sensor.state") return;
      const { sensor: name, state, reason } = observation;
      say({ type: "sensor", name, state, ...(reason === undefined ? {} : { reason }) });
    },
  });
  running = monitor;
  ready = true;
  say({ type: "ready", startedAt, sensors: monitor.status().sensors });

  /** Whether it becomes true, asked again after every observation. */
  function comesTrue(condition: () => boolean, withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        look = undefined;
        resolve(condition());
      };
      const timer = setTimeout(settle, withinMs);
      look = () => {
        if (condition()) settle();
      };
      look();
    });
  }

  for (let next = await lines.next(); next.done !== true; next = await lines.next()) {
    const question = JSON.parse(next.value) as LookoutQuestion;
    say({ type: "answer", answer: await answerTo(question, monitor, comesTrue, isTaken) });
  }
  await monitor.stop();
}

async function answerTo(
  { pid, settled, snapshot }: LookoutQuestion,
  { state }: RunningMonitor,
  comesTrue: (condition: () => boolean, withinMs: number) => Promise<boolean>,
  isTaken: (pid: number) => boolean,
): Promise<LookoutAnswer> {
  if (!(await comesTrue(() => state.isProtected(pid), PROTECTED_WITHIN_MS))) return "not-seen";
  const hasSettled = (): boolean => {
    const since = state.find(pid)?.maps?.since;
    return since !== undefined && Date.now() - since > SETTLED_AFTER_MS;
  };
  if (settled && !(await comesTrue(hasSettled, SETTLED_WITHIN_MS))) return "not-read";
  return !snapshot || (await comesTrue(() => isTaken(pid), TAKEN_WITHIN_MS)) ? "watched" : "not-taken";
}

/** The exec gate marks the drill's own tmpfs or nothing: it is looked for where the marks are going to be set. */
function withOwnTmpfs({ programs, ...others }: KnownGood): KnownGood {
  if (programs === undefined) return others;
  const problem = ownTmpfsProblem(readFileSync("/proc/self/mountinfo", "utf8"), programs.mount, programs.source);
  return problem === undefined ? { ...others, programs } : others;
}

function sightingOf({ rule, severity, technique, operation, sensor, suspect, target, subject }: Finding): Sighting {
  return {
    rule,
    severity,
    technique,
    operation,
    sensor,
    ...(subject === undefined ? {} : { subject }),
    ...(target === undefined ? {} : { target: { pid: target.pid } }),
    ...(suspect === undefined
      ? {}
      : {
          suspect: {
            pid: suspect.pid,
            comm: suspect.comm,
            ancestry: (suspect.ancestry ?? []).slice(0, MAX_ANCESTRY).map(({ pid }) => ({ pid })),
          },
        }),
  };
}

/** What was said is read before the process is gone. */
function end(code: number): void {
  tell();
  told.end(() => process.exit(code));
}

// A terminal sends these to everybody in its foreground: the drill cleans up, and this ends with it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

watch(createInterface({ input: process.stdin })[Symbol.asyncIterator]()).then(
  () => end(0),
  (thrown: unknown) => {
    say({ type: "failed", ...(thrown instanceof RimonError ? { code: thrown.code } : {}), error: reasonOf(thrown) });
    end(1);
  },
);

// The sensor of snapshots over programs at work, at a clock that runs faster than the day: each check is one of every 30 s
// to it, so that what is looked at once an hour is looked at as often as in a day, too.

import { readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isolationChanged } from "../../src/detectors/isolation-changed.ts";
import { atLeast } from "../../src/finding.ts";
import { DEFAULT_INTERVAL_MS } from "../../src/isolation.ts";
import { DEFAULT } from "../../src/policy/defaults.ts";
import { createSnapshots } from "../../src/sensors/snapshots.ts";
import { State } from "../../src/state.ts";
import { createContext } from "../sensors/context.ts";
import type { BusyPrograms, BusyProcess } from "./busy.ts";

export interface ChecksOptions {
  readonly count: number;
  /** From the start of one to that of the next. */
  readonly everyMs: number;
  /** Told of what is new since the last one. */
  readonly onProgress?: (done: number, told: readonly string[]) => void;
}

export interface Checked {
  /** What was told of processes, in sentences: what somebody is alerted of. */
  readonly told: readonly string[];
  /** What stands in the log only. */
  readonly logged: readonly string[];
  /** What was told of the kernel, which is everybody's. */
  readonly kernel: readonly string[];
  /** Checks of one process each. */
  readonly looks: number;
  readonly processes: number;
  /** What the sensor said of itself besides "live". */
  readonly troubles: readonly string[];
}

export async function runChecks(
  busy: BusyPrograms,
  { count, everyMs, onProgress = () => {} }: ChecksOptions,
): Promise<Checked> {
  let now = Date.now();
  const context = Object.assign(createContext(), { now: () => now });
  const settings = { intervalMs: DEFAULT_INTERVAL_MS, subsystems: DEFAULT.snapshotSubsystems };
  const sensor = createSnapshots(context, () => settings);
  const names = new Map<string, string>();
  const name = (pid: number, startTime: number): string => names.get(`${pid} ${startTime}`) ?? `pid ${pid}`;
  let looks = 0;
  const [told, logged, kernel]: [string[], string[], string[]] = [[], [], []];
  let seen = 0;
  const state = new State(() => undefined);

  function meet({ pid, startTime, name: called }: BusyProcess): void {
    const key = `${pid} ${startTime}`;
    if (names.has(key)) return;
    names.set(key, called);
    const process = { pid, startTime, parentPid: 0, comm: called, kernelThread: false, ...exeOf(pid) };
    state.apply({ kind: "process.seen", at: now, sensor: "process-table", by: "scan", process });
  }

  /** Sorts what has come since; what is alerted of by default is of medium severity at least. */
  function sort(): readonly string[] {
    const since = context.of("isolation.changed").slice(seen);
    seen += since.length;
    return since.flatMap((observation) => {
      const { pid, startTime = 0, message } = observation;
      if (pid === undefined) return (kernel.push(message), []);
      const severity =
        isolationChanged.detect(observation, state, { allow: [] })?.severity ?? isolationChanged.severity;
      const sentence = `${severity}: ${name(pid, startTime)} (${pid}): ${message}`;
      (atLeast(severity, "medium") ? told : logged).push(sentence);
      return sentence;
    });
  }

  try {
    for (let done = 0; done < count; done++, now += DEFAULT_INTERVAL_MS) {
      const next = Date.now() + everyMs;
      const there = busy.settled();
      for (const each of there) meet(each);
      context.protectedIds = there.map(({ pid, startTime }) => ({ pid, startTime }));
      looks += there.length;
      await sensor.pass?.(false);
      onProgress(done + 1, sort());
      await sleep(Math.max(0, next - Date.now()));
    }
    return {
      told,
      logged,
      kernel,
      looks,
      processes: names.size,
      troubles: context
        .of("sensor.state")
        .filter(({ state }) => state !== "live")
        .map(({ state, reason }) => `${state}: ${reason}`),
    };
  } finally {
    await sensor.stop();
    context.close();
  }
}

/** Nothing, if it has ended. */
function exeOf(pid: number): { readonly exe?: string } {
  try {
    return { exe: readlinkSync(`/proc/${pid}/exe`) };
  } catch {
    return {};
  }
}

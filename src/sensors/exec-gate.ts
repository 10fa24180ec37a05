// The exec gate: what is executed on the mounts that the configuration names is checked before it runs. This only reads
// what is known, says what is to be marked and tells what C answered; it is never asked while a program waits. Off
// unless the configuration asks for it.

import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import type { Configuration, GateSettings } from "../configuration.ts";
import { reasonOf } from "../errors.ts";
import type { GateMode } from "../exec-judged.ts";
import { RefusedExecutables, loadGate, type LoadedGate } from "../exec-gate.ts";
import { GATE_MODE, requireFilesAddon, type Gate, type GateStatus } from "../native.ts";
import { processKey, type Observation } from "../observation.ts";
import type { NativeRecord } from "../record.ts";
import { decodeRecords } from "../records.ts";
import { wantedMarks, type WantedMark } from "./gate-mounts.ts";
import { handedOver } from "./gate-scripts.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

const KEEP_EVERY_MS = 5_000;
const MANY_WAITING = 10_000;
/** A script that is larger is not read here, on the event loop. */
const MAX_SCRIPT_BYTES = 4 << 20;
const MAX_LOOKED_AT = 4_096;
const MODES: readonly GateMode[] = ["learn", "audit", "enforce"];

/** How the gate stands, kept for `rimon gate status` and for the next start. */
export interface GateState {
  readonly version: 1;
  readonly pid: number;
  /** When it was last known to answer; milliseconds since the epoch. */
  readonly aliveAt: number;
  /** It was stopped, and did not just end. */
  readonly orderly: boolean;
  readonly mode: GateMode;
  readonly marks: readonly Pick<WantedMark, "path" | "mode" | "opens">[];
  readonly counts?: LoadedGate["counts"];
  readonly counters: Readonly<Record<string, number>>;
  readonly upgrade: boolean;
  readonly status?: GateStatus;
}

export function createExecGate(context: SensorContext, settings: () => Configuration["gate"]): Sensor {
  const name = "exec-gate";
  const report = createStateReporter(context, name);
  const marked = new Map<string, WantedMark & { readonly dev: number }>();
  let gate: Gate | undefined;
  let current: GateSettings | undefined;
  let loaded: LoadedGate | undefined;
  let loading: Promise<void> | undefined;
  let problem: string | undefined;
  let counters: Readonly<Record<string, number>> = {};
  let keptAt = -Infinity;
  let isUpgrade = false;
  let unmarkable: readonly string[] = [];

  /** What was in force before goes on if the new cannot be believed: a baseline that is taken away opens nothing. */
  async function load(next: GateSettings): Promise<void> {
    try {
      const read = await loadGate(next, context.now(), counters);
      if (current !== next) return;
      loaded = read;
      counters = { ...counters, ...read.counters };
      gate ??= requireFilesAddon().openGate((batch) => {
        for (const record of decodeRecords(batch)) take(record);
      });
      gate.load(read.table);
      problem = undefined;
      keptAt = -Infinity;
      mark(next);
    } catch (thrown) {
      if (current !== next) return;
      if (thrown instanceof RefusedExecutables) refuse(thrown);
      problem =
        loaded === undefined
          ? `${reasonOf(thrown)}; nothing is checked before it runs`
          : `${reasonOf(thrown)}; what was known before holds`;
    }
  }

  function refuse({ file: path, problem: { code, message } }: RefusedExecutables): void {
    const using = loaded === undefined ? "none" : "last-good";
    context.emit({ kind: "baseline.refused", at: context.now(), sensor: name, of: "executables", path, code, message, using }); // prettier-ignore
  }

  function take(record: NativeRecord): void {
    const at = context.now();
    if (record.kind === "mounts") {
      if (current !== undefined) mark(current);
    } else if (record.kind === "lost") {
      const count = record.count === undefined ? {} : { count: record.count };
      const reason = "rimon could not keep up with what the exec gate had to tell; what was asked was answered";
      context.emit({ kind: "sensor.lost", at, sensor: name, reason, ...count });
    } else if (record.kind === "gate") {
      const { pid, rule, kind: _, ...rest } = record;
      const named = rule === undefined ? undefined : (current?.rules[rule]?.name ?? String(rule + 1));
      context.emit({
        kind: "exec.judged",
        at,
        sensor: name,
        ...rest,
        ...(pid === 0 ? {} : { pid }),
        ...(named === undefined ? {} : { rule: named }),
      });
    }
  }

  const lookedAt = new Set<string>();

  /** What a loader or an interpreter was given to run from a mount that is marked, where openings are not looked at. */
  function lookAfter(observation: Observation): void {
    if (observation.kind !== "process.seen" || current === undefined || loaded === undefined) return;
    const { process } = observation;
    const path = handedOver(process, loaded.interpreters);
    if (path === undefined) return;
    const key = `${processKey(process)} ${process.exe} ${path}`;
    if (lookedAt.has(key)) return;
    if (lookedAt.size >= MAX_LOOKED_AT) lookedAt.clear();
    lookedAt.add(key);
    const there = path.startsWith("/") ? `/proc/${process.pid}/root${path}` : `/proc/${process.pid}/cwd/${path}`;
    try {
      const { dev, size } = statSync(there);
      if (![...marked.values()].some((each) => each.dev === dev && !each.opens)) return;
      if (size > Math.min(MAX_SCRIPT_BYTES, current.maxBytes)) return;
      const uid = process.euid ?? process.uid ?? 0;
      const answer = requireFilesAddon().gateTry(loaded.table, there, uid, process.exe ?? "");
      for (const record of decodeRecords(answer)) {
        if (record.kind !== "gate" || !record.denied) continue;
        const { pid, startTime } = process;
        // It was not refused, whatever the mode: it is running.
        take({ ...record, pid, startTime, path, by: process.exe ?? "", opened: true, denied: false, mode: "audit" });
      }
    } catch {
      // The process has ended, or the file is gone: there is nothing to be looked at any more.
    }
  }

  function mark({ mounts }: GateSettings): void {
    if (gate === undefined) return;
    const { marks, problems } = wantedMarks(mounts, readFileSync("/proc/self/mountinfo", "utf8"));
    const wanted = new Map(marks.map((each) => [each.device, each]));
    for (const [device, { path, dev }] of marked) {
      if (wanted.has(device)) continue;
      gate.unmark(path, dev);
      marked.delete(device);
    }
    const failed = [...problems];
    for (const each of marks) {
      const { device, id, path, mode, opens } = each;
      const known = marked.get(device);
      if (known?.mode === mode && known.opens === opens) continue;
      try {
        const dev = gate.mark(path, id, GATE_MODE[mode], opens);
        marked.set(device, { ...each, dev });
      } catch (thrown) {
        failed.push(`${path}: ${reasonOf(thrown)}`);
      }
    }
    unmarkable = failed;
  }

  function strictest(): GateMode {
    return MODES.findLast((mode) => [...marked.values()].some((each) => each.mode === mode)) ?? "learn";
  }

  /** Declared by a file that only root can have put there, and not for ever. */
  function upgradeDeclared({ upgrade: { marker, atMostMs } }: GateSettings, now: number): boolean {
    try {
      const { uid, mode, mtimeMs } = statSync(marker);
      return uid === 0 && (mode & 0o022) === 0 && now - mtimeMs < atMostMs && mtimeMs - now < atMostMs;
    } catch {
      return false;
    }
  }

  function keep({ stateFile }: GateSettings, orderly: boolean): void {
    const state: GateState = {
      version: 1,
      pid: process.pid,
      aliveAt: context.now(),
      orderly,
      mode: strictest(),
      marks: [...marked.values()].map(({ path, mode, opens }) => ({ path, mode, opens })),
      ...(loaded === undefined ? {} : { counts: loaded.counts }),
      counters,
      upgrade: isUpgrade,
      ...(gate === undefined ? {} : { status: gate.status() }),
    };
    const unfinished = `${stateFile}.${process.pid}`;
    writeFileSync(unfinished, `${JSON.stringify(state)}\n`, { mode: 0o600 });
    renameSync(unfinished, stateFile);
    keptAt = context.now();
  }

  /** Tells for how long nothing was checked, by what the one before kept. */
  function lookBack({ stateFile }: GateSettings): void {
    const before = readGateState(stateFile);
    if (before === undefined) return;
    counters = before.counters;
    if (before.marks.length === 0) return;
    const { aliveAt: since, mode, orderly } = before;
    context.emit({ kind: "gate.gap", at: context.now(), sensor: name, since, mode, orderly });
  }

  function close(): void {
    gate?.close();
    gate = undefined;
    loaded = undefined;
    marked.clear();
  }

  async function pass(): Promise<void> {
    const asked = settings();
    if (asked === undefined) {
      if (current !== undefined) {
        if (gate !== undefined) keep(current, true);
        close();
        current = undefined;
      }
      return report("off", "not asked for");
    }
    if (asked !== current) {
      if (current === undefined) lookBack(asked);
      current = asked;
      loading = load(asked).finally(() => (loading = undefined));
      // What packages brought takes long to read; everything else is there at once.
      if (!asked.packages) await loading;
    }
    if (gate === undefined)
      return loading === undefined
        ? report("down", problem ?? "it could not be opened")
        : report("degraded", "what is known is still being read; nothing is checked before it runs");
    isUpgrade = upgradeDeclared(asked, context.now());
    gate.upgrade(isUpgrade);
    const { queued, lockError } = gate.status();
    const troubles = [
      ...(problem === undefined ? [] : [problem]),
      ...unmarkable,
      ...(queued < MANY_WAITING ? [] : [`${queued} programs wait to be checked`]),
      ...(lockError === undefined ? [] : [`its memory may be paged out (${lockError})`]),
    ];
    try {
      if (context.now() - keptAt >= KEEP_EVERY_MS) keep(asked, false);
    } catch (thrown) {
      troubles.push(`how it stands cannot be kept: ${reasonOf(thrown)}`);
    }
    if (troubles.length === 0) report("live");
    else report("degraded", troubles.join("; "));
  }

  return {
    name,
    sees: "what is executed on the mounts that are named, before it runs: files that are not known, that rules deny, that are written to meanwhile",
    needs: ["sys_admin", "lease"],
    start: () => pass(),
    pass: () => pass(),
    notice: lookAfter,
    async settled() {
      await loading;
    },
    async stop() {
      await loading;
      try {
        if (current !== undefined && gate !== undefined) keep(current, true);
      } finally {
        close();
        current = undefined;
      }
    },
  };
}

/** Undefined if there is none, or none that can be read as one. */
export function readGateState(file: string): GateState | undefined {
  try {
    const state = JSON.parse(readFileSync(file, "utf8")) as Partial<GateState> | null;
    const ok =
      state?.version === 1 &&
      typeof state.aliveAt === "number" &&
      Number.isFinite(state.aliveAt) &&
      typeof state.orderly === "boolean" &&
      Array.isArray(state.marks) &&
      MODES.includes(state.mode as GateMode) &&
      typeof state.counters === "object" &&
      state.counters !== null;
    return ok ? (state as GateState) : undefined;
  } catch {
    return undefined;
  }
}

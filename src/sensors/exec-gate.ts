// The exec gate: what is executed on the mounts that the configuration names is checked before it runs. This only reads
// what is known, says what is to be marked and tells what C answered; it is never asked while a program waits. Off
// unless the configuration asks for it.

import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import type { Configuration, GateSettings } from "../configuration.ts";
import type { RefusedBaseline } from "../baselines/in-use.ts";
import { reasonOf } from "../errors.ts";
import type { ExecJudged, GateMode } from "../exec-judged.ts";
import { RefusedExecutables, loadGate, versionOfSources, type LoadedGate } from "../exec-gate.ts";
import { GATE_MODE, requireFilesAddon, type Gate, type GateStatus } from "../native.ts";
import type { Observation } from "../observation.ts";
import type { GateRecord, NativeRecord } from "../record.ts";
import { decodeRecords } from "../records.ts";
import { createGateLook, type KnownMount } from "./gate-look.ts";
import { tellsLayers, wantedMarks, type WantedMark } from "./gate-mounts.ts";
import { createMountNamespaces } from "./mount-namespaces.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

const KEEP_EVERY_MS = 5_000;
/** So that one that expires is found out. */
const REREAD_MS = 3_600_000;
const MANY_WAITING = 10_000;
const MAX_UNCHECKED_KEPT = 64;
/** It watches the mount tables of all namespaces; without it they are read at every pass. */
const WATCHES_MOUNTS = "fanotify";
const LAYERS_ARE_TOLD = tellsLayers(release());
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
  /** One for each superblock. `namespace`: the mount namespace that has it at this path; 0: our own. */
  readonly marks: readonly KeptMark[];
  /** What lies below what is named and is not checked, in words. */
  readonly unchecked?: readonly string[];
  readonly counts?: LoadedGate["counts"];
  readonly counters: Readonly<Record<string, number>>;
  readonly upgrade: boolean;
  readonly status?: GateStatus;
}

export type KeptMark = Pick<WantedMark, "path" | "mode" | "opens"> &
  Partial<Pick<WantedMark, "device" | "type" | "namespace">>;

export interface ExecGate extends Sensor {
  /** The mount table of some namespace is another. */
  mountsChanged(): void;
}

interface Marked extends WantedMark {
  readonly dev: number;
  readonly since: number;
}

export function createExecGate(context: SensorContext, settings: () => Configuration["gate"]): ExecGate {
  const name = "exec-gate";
  const report = createStateReporter(context, name);
  const namespaces = createMountNamespaces();
  const looks = createGateLook();
  const marked = new Map<string, Marked>();
  /** All there are, by their number, as they were read last. */
  let mounts = new Map<number, KnownMount>();
  let openedTicks = Infinity;
  let isStale = false;
  let unchecked: readonly string[] = [];
  let gate: Gate | undefined;
  let current: GateSettings | undefined;
  let loaded: LoadedGate | undefined;
  let loading: Promise<void> | undefined;
  let loadedVersion = "";
  let loadedAt = -Infinity;
  /** Which refusals were. */
  let told: ReadonlySet<string> = new Set();
  let problem: string | undefined;
  let counters: Readonly<Record<string, number>> = {};
  let keptAt = -Infinity;
  let stoodInBefore = 0;
  let unopenedBefore = 0;
  let isUpgrade = false;
  let unmarkable: readonly string[] = [];

  /** What was in force before goes on if the new cannot be believed: a baseline that is taken away opens nothing. */
  async function load(next: GateSettings): Promise<void> {
    try {
      // Before it is read: what is changed meanwhile is read again.
      const version = await versionOfSources(next);
      if (current !== next) return;
      [loadedVersion, loadedAt] = [version, context.now()];
      const read = await loadGate(next, loadedAt, {
        lastCounters: counters,
        openBaseline: context.openBaseline,
        packages: loaded?.packages,
      });
      if (current !== next) return;
      loaded = read;
      counters = { ...counters, ...read.counters };
      gate ??= requireFilesAddon().openGate((batch) => {
        for (const record of decodeRecords(batch)) take(record);
      });
      openedTicks = Math.min(openedTicks, ticksNow());
      gate.load(read.table);
      problem = undefined;
      const usingLastGood = read.refused.map(({ file, ...why }) => refuse(file, why, "last-good"));
      told = new Set(usingLastGood);
      keptAt = -Infinity;
      mark(next);
    } catch (thrown) {
      if (current !== next) return;
      if (thrown instanceof RefusedExecutables)
        told = new Set([refuse(thrown.file, thrown.problem, loaded === undefined ? "none" : "last-good")]);
      problem =
        loaded === undefined
          ? `${reasonOf(thrown)}; nothing is checked before it runs`
          : `${reasonOf(thrown)}; what was known before holds`;
    }
  }

  /** Told once for each reason; what it was told by. */
  function refuse(path: string, { code, message }: RefusedBaseline, using: "last-good" | "none"): string {
    const key = `${path} ${code} ${using}`;
    if (!told.has(key))
      context.emit({ kind: "baseline.refused", at: context.now(), sensor: name, of: "executables", path, code, message, using }); // prettier-ignore
    return key;
  }

  function take(record: NativeRecord): void {
    const at = context.now();
    if (record.kind === "mounts") {
      markSoon();
    } else if (record.kind === "lost") {
      const count = record.count === undefined ? {} : { count: record.count };
      const reason = "rimon could not keep up with what the exec gate had to tell; what was asked was answered";
      context.emit({ kind: "sensor.lost", at, sensor: name, reason, ...count });
    } else if (record.kind === "gate") {
      const { pid, kind: _, parentPid: _parent, comm: _comm, ...rest } = record;
      introduce(record);
      tell({ ...rest, ...(pid === 0 ? {} : { pid }) });
    }
  }

  /** Most that are refused have ended before anybody else reads who they were: they were made to run that file. */
  function introduce({ pid, startTime, parentPid, comm, by, uid }: GateRecord): void {
    if (startTime === undefined || comm === undefined || context.lineage(pid, startTime).length > 0) return;
    context.emit({
      kind: "process.seen",
      at: context.now(),
      sensor: name,
      by: "act",
      process: { pid, startTime, parentPid: parentPid ?? 0, comm, kernelThread: false, euid: uid, ...(by === "" ? {} : { exe: by }) }, // prettier-ignore
    });
  }

  function tell({
    rule,
    ...rest
  }: Omit<ExecJudged, "kind" | "at" | "sensor" | "rule"> & Pick<GateRecord, "rule">): void {
    const named = rule === undefined ? undefined : (current?.rules[rule]?.name ?? String(rule + 1));
    context.emit({
      kind: "exec.judged",
      at: context.now(),
      sensor: name,
      ...rest,
      ...(named === undefined ? {} : { rule: named }),
    });
  }

  function notice(observation: Observation): void {
    if (namespaces.notice(observation)) markSoon();
    if (observation.kind !== "process.seen" || current === undefined || loaded === undefined || gate === undefined)
      return;
    const { interpreters } = loaded;
    const asked = current;
    const looked = looks.look(observation, {
      gate,
      settings: asked,
      interpreters,
      openedTicks,
      isUpgrade,
      tellsLayers: LAYERS_ARE_TOLD,
      mount(id, again) {
        if (again || isStale) mark(asked);
        return mounts.get(id);
      },
      mounts: () => mounts.values(),
      ownNamespace: namespaces.own,
      marked: (device) => marked.get(device),
      lineage: context.lineage,
    });
    for (const each of looked) tell(each);
  }

  /** Once for whatever comes in one turn. */
  function markSoon(): void {
    if (isStale || current === undefined) return;
    isStale = true;
    setImmediate(() => {
      if (isStale && current !== undefined) mark(current);
    });
  }

  function mark({ mounts: named }: GateSettings): void {
    isStale = false;
    if (gate === undefined) return;
    const tables = namespaces.tables();
    mounts = new Map(
      tables.flatMap(({ foreign, pid, namespace, mounts: all }) =>
        all.map((each) => [each.id, { ...each, foreign, pid, namespace }]),
      ),
    );
    const wanted = wantedMarks(named, tables);
    const devices = new Set(wanted.marks.map(({ device }) => device));
    for (const [device, { pid, path, dev }] of marked) {
      if (devices.has(device)) continue;
      gate.unmark(pid, path, dev);
      marked.delete(device);
    }
    const failed = [...wanted.problems];
    for (const each of wanted.marks) {
      const { device, id, path, mode, opens, pid } = each;
      const known = marked.get(device);
      try {
        // Also what is: another file system may have come to its number since.
        const { dev, isNew } = gate.mark(pid, path, id, GATE_MODE[mode], opens);
        marked.set(device, { ...each, dev, since: isNew || known === undefined ? context.now() : known.since });
      } catch (thrown) {
        marked.delete(device);
        // Unmounted meanwhile, or its process has ended; else the next pass finds it again.
        if (pid === 0 || !isGone(thrown)) failed.push(`${path}: ${reasonOf(thrown)}`);
      }
    }
    unmarkable = failed;
    unchecked = wanted.unchecked;
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
      marks: [...marked.values()].map(({ path, mode, opens, device, type, namespace }) => ({
        path,
        mode,
        opens,
        device,
        type,
        namespace,
      })),
      unchecked: unchecked.slice(0, MAX_UNCHECKED_KEPT),
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
    stoodInBefore = unopenedBefore = 0;
    marked.clear();
  }

  /** Also after an upgrade: what packages brought is known by their list. */
  async function isOutdated(asked: GateSettings): Promise<boolean> {
    return context.now() - loadedAt >= REREAD_MS || (await versionOfSources(asked)) !== loadedVersion;
  }

  async function pass(full: boolean): Promise<void> {
    const asked = settings();
    if (asked === undefined) {
      if (current !== undefined) {
        if (gate !== undefined) keep(current, true);
        close();
        current = undefined;
      }
      return report("off", "not asked for");
    }
    if (asked !== current || (loading === undefined && (await isOutdated(asked)))) {
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
    if (full || isStale || !context.isLive(WATCHES_MOUNTS)) mark(asked);
    isUpgrade = upgradeDeclared(asked, context.now());
    gate.upgrade(isUpgrade);
    const { queued, lockError, hasDeputy, stoodIn, unopened, unopenedError = "" } = gate.status();
    if (stoodIn > stoodInBefore) {
      const reason = "rimon stood still, and what was executed meanwhile was answered as gate.unanswered says";
      context.emit({ kind: "sensor.lost", at: context.now(), sensor: name, reason, count: stoodIn - stoodInBefore });
    }
    stoodInBefore = stoodIn;
    if (unopened > unopenedBefore) {
      // Who and what it was the kernel does not say.
      const why = unopenedError === "EAGAIN" ? "somebody has a lease on it" : unopenedError;
      const reason = `the kernel could not open for rimon what was executed (${why}), and refused it`;
      context.emit({ kind: "sensor.lost", at: context.now(), sensor: name, reason, count: unopened - unopenedBefore });
    }
    unopenedBefore = unopened;
    const troubles = [
      ...(problem === undefined ? [] : [problem]),
      ...(loaded?.refused ?? []).map(({ file, code }) => `${file} is refused (${code}): its last good copy is used`),
      ...(loaded?.notKept ?? []),
      ...unmarkable,
      ...(namespaces.beyond() === 0 ? [] : [`${namespaces.beyond()} processes in mount namespaces beyond the first`]),
      ...(queued < MANY_WAITING ? [] : [`${queued} programs wait to be checked`]),
      ...(hasDeputy ? [] : ["nobody answers while rimon is stopped: its deputy is gone"]),
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
    start: () => pass(true),
    pass,
    notice,
    mountsChanged: markSoon,
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

/** As the start times of processes are counted: proc_uptime(5), and USER_HZ is 100 everywhere. */
function ticksNow(): number {
  return Math.floor(Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]) * 100);
}

function isGone(thrown: unknown): boolean {
  return ["ENOENT", "ESRCH", "ENODEV", "EAGAIN", "EACCES"].includes((thrown as NodeJS.ErrnoException).code ?? "");
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

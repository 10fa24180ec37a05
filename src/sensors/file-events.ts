// Who changes which watched file, as it happens: what the thread of native/file_watch.c has read, made observations. What
// was lost is looked for: whatever changed since has a ctime to show for it, which nobody can set back.

import { readFile, realpath } from "node:fs/promises";
import { textOf } from "../baselines/files/compare.ts";
import { decodeEntry } from "../baselines/files/entry.ts";
import type { FileRule } from "../baselines/files/rules.ts";
import { reasonOf } from "../errors.ts";
import type { FileTouched } from "../file-touched.ts";
import { entriesIn } from "../files/scan.ts";
import { walk } from "../files/walk.ts";
import { isBelow } from "../mountinfo.ts";
import type { Watch } from "../native.ts";
import type { Observation } from "../observation.ts";
import type { FileChangeRecord } from "../record.ts";
import { createContainerFiles } from "./container-files.ts";
import { createFileComparison, type ComparedWith } from "./file-comparison.ts";
import { mountsOf } from "./file-mounts.ts";
import { createFileTeller } from "./file-teller.ts";
import { verifyPackages, type VerifyPackages } from "./package-files.ts";
import { createPackageTransactions, type FileDeed } from "./package-transactions.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";
import { createWantedFiles } from "./wanted-files.ts";

export const FILE_EVENTS = "file-events";

/** Undefined: not asked for. */
export interface WatchedFiles {
  readonly roots: readonly string[];
  readonly rules: readonly FileRule[];
  /** Also what is mounted below; true if not given. */
  readonly crossFilesystems?: boolean;
  /** What rimon itself writes. */
  readonly own?: readonly string[];
  /** Also what is done to the root filesystems of containers, by these rules. */
  readonly containers?: readonly FileRule[];
  /** What they are held against, if it is there: then its roots and rules count. */
  readonly baseline?: ComparedWith;
}

interface Closed {
  readonly path: Buffer;
  readonly by: { readonly record: FileChangeRecord; readonly at: number }[];
}

export interface FileEventOptions {
  readonly verify?: VerifyPackages;
  /** What of the kernel is made use of at most: Watch.openChanges(). */
  readonly level?: number;
}

export interface FileEvents extends Sensor {
  take(record: FileChangeRecord, at: number): void;
  /** Events or changes were lost. */
  lost(): void;
}

/** A look after a loss reaches back so far behind the last pass that saw none. */
const MARGIN_MS = 2_000;
/** The times of events are as exact as that beside those of files. */
const CLOCK_MS = 2;
const MAX_CLOSERS = 16;
const MAX_CLOSED = 4_096;

export function createFileEvents(
  context: SensorContext,
  settings: () => WatchedFiles | undefined,
  open: () => Watch,
  { verify = verifyPackages, level }: FileEventOptions = {},
): FileEvents {
  const report = createStateReporter(context, FILE_EVENTS);
  const transactions = createPackageTransactions(context, FILE_EVENTS, tellAlone, verify);
  const teller = createFileTeller(context, FILE_EVENTS);
  const comparison = createFileComparison(context, FILE_EVENTS, teller.tell);
  /** By path: who closed it after it was open for writing, and wrote nothing by a call. */
  let closed = new Map<string, Closed>();
  let watch: Watch | undefined;
  let watched: WatchedFiles | undefined;
  let isWanted = createWantedFiles([]);
  const containers = createContainerFiles();
  /** The upper directories of those that are watched. */
  let uppers: readonly string[] = [];
  /** What was aimed at and marked last: nothing is done where it is the same. */
  let aimed = "";
  let unmarked: readonly string[] = [];
  /** At the last pass, and the one before, nothing was known to be lost; of a loss since that one has heard for certain. */
  let passedAt = context.now();
  let soundAt = passedAt;
  let lost = false;
  /** Why there is no fanotify, if there is none. */
  let without: string | undefined;
  let flushing = false;
  let work = Promise.resolve();

  async function prepare(asked: WatchedFiles): Promise<void> {
    // It may have been switched off meanwhile.
    if (settings() === undefined) return;
    const baseline = asked.baseline && (await comparison.refresh(asked.baseline));
    await aim(baseline === undefined ? asked : { ...asked, ...baseline.scope });
    if (unmarked.length === 0) report("live");
    else report("degraded", unmarked.slice(0, 4).join("; "));
  }

  async function aim(asked: WatchedFiles): Promise<void> {
    const ofContainers = await aimedContainers(asked);
    const paths = [...(await withRealPaths(asked.roots)), ...ofContainers.uppers];
    const mountinfo = await readFile("/proc/self/mountinfo", "utf8");
    // By inotify its own would be told like any other's.
    const excluded = [...foldersLeftOut(asked.rules), ...(without === undefined ? [] : (asked.own ?? []))].filter(
      (folder) => !ofContainers.uppers.some((upper) => isBelow(upper, folder)),
    );
    const now = JSON.stringify([paths, excluded, mountinfo, asked.rules, asked.crossFilesystems, ofContainers.without]);
    if (watch === undefined || now === aimed) return;
    isWanted = createWantedFiles(asked.rules);
    watched = asked;
    watch.aimChanges(paths, excluded);
    const refused: string[] = [];
    for (const { point, paths: watchedThere } of mountsOf(mountinfo, paths, asked.crossFilesystems ?? true)) {
      const problem = mark(point);
      if (problem === undefined) continue;
      // A watch for each folder is what is left.
      const walked = watchedThere.flatMap((path) => attempt(() => watch?.walkChanges(path)) ?? []);
      refused.push([`watched by inotify, which does not say who: ${problem}`, ...walked].join("; "));
    }
    unmarked = [...refused, ...ofContainers.without];
    aimed = now;
    const isNew = ofContainers.uppers.filter((upper) => !uppers.includes(upper));
    uppers = ofContainers.uppers;
    if (isNew.length > 0) await lookAt(isNew, ANY_TIME, "so when rimon first looked at this container");
  }

  async function aimedContainers({
    containers: rules,
  }: WatchedFiles): Promise<{ uppers: string[]; without: readonly string[] }> {
    if (rules === undefined) {
      containers.forget();
      return { uppers: [], without: [] };
    }
    const found = await containers.refresh(rules);
    return { uppers: found.containers.map(({ upper }) => upper).toSorted(), without: found.without };
  }

  /** Why it cannot be had by fanotify; undefined: it is. */
  function mark(point: string): string | undefined {
    return without ?? attempt(() => watch?.markChanges(point));
  }

  async function pass(): Promise<void> {
    const asked = settings();
    if (asked === undefined) {
      if (watched !== undefined) watch?.aimChanges([], []);
      watched = undefined;
      aimed = "";
      later(() => comparison.close());
      return report("off", "not asked for");
    }
    if (watch === undefined) {
      watch = open();
      without = watch.openChanges(level);
      soundAt = passedAt = context.now();
    }
    const status = watch.status().changes;
    if (!status.live) return report(status.events > 0 ? "down" : "unavailable", status.reason);
    // In its turn: nothing is compared with a baseline that is being closed.
    later(() => prepare(asked));
    if (watched === undefined) await work;
    if (lost) later(lookAfterLoss);
    else [soundAt, passedAt] = [passedAt, context.now()];
    teller.pass();
    later(() => comparison.flush());
    later(() => transactions.pass());
  }

  function later(step: () => Promise<void>): void {
    work = work.then(step).catch((thrown: unknown) => report("degraded", reasonOf(thrown)));
  }

  /** By the rules of the container it is in, or of the node. */
  function isAsked(path: Buffer, folder: boolean): boolean {
    const container = containers.find(path);
    return container === undefined ? isWanted(path, folder) : container.wants(path, folder);
  }

  function take(record: FileChangeRecord, at: number): void {
    const { path, from, folder } = record;
    const wantedNow = !record.toOutside && isAsked(path, folder);
    const wantedThen = record.moved && !record.fromOutside && from !== undefined && isAsked(from, folder);
    if (!wantedNow && !wantedThen) return;
    const touched = touchedOf(record, at);
    if (touched === undefined) {
      // Closed after it was open for writing: only a mapping can have written it, and then it has a ctime to show for it.
      const key = path.toString("latin1");
      const before = closed.get(key);
      if (closed.size === 0) later(lookAtClosed);
      if (before !== undefined && before.by.length < MAX_CLOSERS) before.by.push({ record, at });
      else if (before !== undefined || closed.size < MAX_CLOSED) closed.set(key, { path, by: [{ record, at }] });
      // More than can be looked at are taken for written.
      else tell({ ...record, written: true }, at, path);
      return;
    }
    if (wantedNow) teller.account(touched, path);
    if (toldOfContainer(touched, wantedNow ? path : (from ?? path))) return;
    const paths = [...(wantedNow ? [path] : []), ...(wantedThen ? [from] : [])];
    const below = record.moved && folder;
    const deed = { touched, paths, below, out: !wantedNow, ...(below && !wantedThen ? { came: path } : {}) };
    if (!transactions.take(deed)) tellAlone(deed);
  }

  function tellAlone({ touched, paths, below, came }: FileDeed): void {
    if (comparison.add(touched, paths, below)) return flushSoon();
    teller.tell(touched);
    if (came !== undefined) later(() => lookInto(touched, came));
  }

  /** What a package manager does in a container is no upgrade of the node, and no baseline of the node is of it. */
  function toldOfContainer(touched: FileTouched, path: Buffer): boolean {
    const container = containers.find(path);
    if (container === undefined) return false;
    const seen = container.asSeen(touched, path);
    if (seen !== undefined) teller.tell(seen);
    return true;
  }

  function flushSoon(): void {
    if (flushing) return;
    flushing = true;
    later(async () => {
      flushing = false;
      await comparison.flush();
    });
  }

  /** Which of several it was cannot be told: each had it open for writing. */
  async function lookAtClosed(): Promise<void> {
    const some = closed;
    closed = new Map();
    const roots = [...some.values()].map(({ path }) => path);
    for await (const batch of walk({ ...EVERYTHING, roots, list: true })) {
      for (const bytes of entriesIn(batch)) {
        const { path, stat } = decodeEntry(bytes, 0, bytes.length);
        // A mapping ends before the file is closed: what came after that is another's, and told as that.
        const by = (some.get(path.toString("latin1"))?.by ?? []).filter(
          ({ record, at }) =>
            stat !== undefined && teller.isNews(path, stat, record.count > 1 ? Infinity : at + CLOCK_MS),
        );
        if (stat === undefined || by.length === 0) continue;
        teller.remember(path, stat);
        for (const { record, at } of by) tell({ ...record, written: true }, at, path);
      }
    }
  }

  function tell(record: FileChangeRecord, at: number, path: Buffer): void {
    const touched = touchedOf(record, at);
    if (touched === undefined || toldOfContainer(touched, path)) return;
    const deed = { touched, paths: [path], below: false, out: false };
    if (!transactions.take(deed)) tellAlone(deed);
  }

  /** A folder that came with all that is in it. */
  async function lookInto(touched: FileTouched, folder: Buffer): Promise<void> {
    for await (const batch of walk({ ...EVERYTHING, rules: [...(watched?.rules ?? []), ANYTHING], roots: [folder] })) {
      for (const bytes of entriesIn(batch)) {
        const { path, stat } = decodeEntry(bytes, 0, bytes.length);
        if (path.equals(folder) || stat === undefined) continue;
        const { did: _did, from: _from, pathHex: _pathHex, ...rest } = touched;
        teller.tell({ ...rest, ...namedBy(path), change: "moved", folder: stat.type === "folder", count: 1 });
      }
    }
  }

  async function lookAfterLoss(): Promise<void> {
    const asked = watched;
    if (!lost || asked === undefined) return;
    lost = false;
    const since = BigInt(Math.floor(soundAt - MARGIN_MS)) * 1_000_000n;
    soundAt = passedAt = context.now();
    const unnamed = "found by a look after events were lost";
    if (uppers.length > 0) await lookAt(uppers, since, unnamed);
    if (comparison.has()) return comparison.all();
    await lookAt(await withRealPaths(asked.roots), since, unnamed, asked.rules);
  }

  /** Tells what was changed since. */
  async function lookAt(
    roots: readonly string[],
    since: bigint,
    unnamed: string,
    rules: readonly FileRule[] = [],
  ): Promise<void> {
    for await (const batch of walk({
      ...EVERYTHING,
      roots: sorted(roots),
      rules: [...rules, ANYTHING],
      crossFilesystems: true,
    })) {
      for (const bytes of entriesIn(batch)) {
        const { path, stat } = decodeEntry(bytes, 0, bytes.length);
        if (stat === undefined || stat.ctimeNs < since) continue;
        const folder = stat.type === "folder";
        const container = containers.find(path);
        // That a folder is there says nothing: it was copied up for what is in it.
        if (container !== undefined && (folder || !container.wants(path, folder))) continue;
        const touched: FileTouched = {
          kind: "file.touched",
          at: context.now(),
          sensor: FILE_EVENTS,
          change: stat.mtimeNs >= since ? "written" : "attributes",
          ...namedBy(path),
          folder,
          unnamed,
          count: 0,
        };
        teller.account(touched, path);
        if (!toldOfContainer(touched, path)) teller.tell(touched);
      }
    }
  }

  return {
    name: FILE_EVENTS,
    sees: "who creates, writes, moves, removes a watched file or changes its attributes, as it happens; package upgrades as one",
    needs: ["sys_admin", "dac_read_search"],
    start: pass,
    pass,
    take,
    lost() {
      lost = true;
    },
    notice(observation: Observation) {
      transactions.notice(observation);
      containers.notice(observation);
      if (observation.kind === "file.changed") comparison.told(observation);
    },
    async settled() {
      await work;
    },
    async stop() {
      later(() => transactions.end());
      await work;
      // What that told by itself.
      later(() => comparison.flush());
      await work;
      await comparison.close();
      teller.pass();
      watch = undefined;
      watched = undefined;
      aimed = "";
    },
  };
}

const ANYTHING: FileRule = { path: "/", group: "presence" };
const ANY_TIME = 0n;

/** What went wrong, but of what is not there: of a mount that is gone, or covered by another, nothing is to be seen. */
function attempt(step: () => void): string | undefined {
  try {
    step();
    return undefined;
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? undefined : reasonOf(thrown);
  }
}

const EVERYTHING = { rules: [ANYTHING], crossFilesystems: false, maxBytes: 0, statOnly: true, threads: 1 } as const;

function namedBy(path: Buffer): Pick<FileTouched, "path" | "pathHex"> {
  const text = textOf(path);
  return { path: text, ...(Buffer.from(text).equals(path) ? {} : { pathHex: path.toString("hex") }) };
}

/** Undefined: it was only closed, which need not have changed it. */
function touchedOf(record: FileChangeRecord, at: number): FileTouched | undefined {
  const did = (["created", "written", "attributes", "moved", "removed"] as const).filter((each) => record[each]);
  const change = did.toReversed().find((each) => each !== "attributes") ?? did[0];
  if (change === undefined) return undefined;
  return {
    kind: "file.touched",
    at,
    sensor: FILE_EVENTS,
    // What was made and written is new; that it was written goes without saying.
    change: change === "written" && record.created ? "created" : change,
    ...(did.length > 1 ? { did } : {}),
    ...namedBy(record.path),
    ...(record.from === undefined ? {} : { from: textOf(record.from) }),
    folder: record.folder,
    ...(record.toOutside ? { crossed: "out" as const } : record.fromOutside ? { crossed: "in" as const } : {}),
    ...(record.nameless
      ? { unnamed: "inotify does not say who" }
      : record.pid === 0
        ? { unnamed: "a process of another pid namespace" }
        : { pid: record.pid, ...(record.startTime === undefined ? {} : { startTime: record.startTime }) }),
    count: record.count,
  };
}

/** The paths, and where links on the way to them lead: events have the latter, and the former are replaced, too. */
async function withRealPaths(paths: readonly string[]): Promise<string[]> {
  const all = new Set<string>();
  for (const path of paths) {
    all.add(path);
    const real = await realpath(path).catch(() => undefined);
    if (real !== undefined) all.add(real);
  }
  return [...all];
}

/** In the order of a walk, none below another. */
function sorted(paths: readonly string[]): Buffer[] {
  return paths
    .filter((path) => !paths.some((other) => other !== path && isBelow(path, other)))
    .map((path) => Buffer.from(path))
    .toSorted(Buffer.compare);
}

/** Folders that are left out before any rule can want something in them: of those no event need come up here. */
function foldersLeftOut(rules: readonly FileRule[]): string[] {
  const folders: string[] = [];
  for (const { path, group, types } of rules) {
    if (group !== "ignore") break;
    if (types === undefined && !/[*?\\]/.test(path)) folders.push(path);
  }
  return folders;
}

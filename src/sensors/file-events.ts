// Who changes which watched file, as it happens: what the thread of native/file_watch.c has read, made observations. What
// was lost is looked for: whatever changed since has a ctime to show for it, which nobody can set back.

import { lstatSync } from "node:fs";
import { readFile, realpath } from "node:fs/promises";
import { textOf } from "../baselines/files/compare.ts";
import { decodeEntry, type FileType } from "../baselines/files/entry.ts";
import { findCut, findRule, type FileRule } from "../baselines/files/rules.ts";
import { reasonOf } from "../errors.ts";
import type { FileTouched } from "../file-touched.ts";
import { entriesIn } from "../files/scan.ts";
import { walk } from "../files/walk.ts";
import type { Watch } from "../native.ts";
import type { Observation } from "../observation.ts";
import type { FileChangeRecord } from "../record.ts";
import { createFileComparison, type ComparedWith } from "./file-comparison.ts";
import { isBelow, mountsOf } from "./file-mounts.ts";
import { createFileTeller } from "./file-teller.ts";
import { verifyByDpkg } from "./package-files.ts";
import { createPackageTransactions } from "./package-transactions.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

export const FILE_EVENTS = "file-events";

/** Undefined: not asked for. */
export interface WatchedFiles {
  readonly roots: readonly string[];
  readonly rules: readonly FileRule[];
  /** Also what is mounted below; true if not given. */
  readonly crossFilesystems?: boolean;
  /** What rimon itself writes. */
  readonly own?: readonly string[];
  /** What they are held against, if it is there: then its roots and rules count. */
  readonly baseline?: ComparedWith;
}

interface Closed {
  readonly path: Buffer;
  readonly by: { readonly record: FileChangeRecord; readonly at: number }[];
}

export interface FileEventOptions {
  readonly verify?: typeof verifyByDpkg;
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
/** Names are remembered as watched or not. */
const MAX_REMEMBERED = 8_192;
const MAX_CLOSERS = 16;
const MAX_CLOSED = 4_096;
const TYPES = ["file", "link", "fifo"] as const;

export function createFileEvents(
  context: SensorContext,
  settings: () => WatchedFiles | undefined,
  open: () => Watch,
  { verify = verifyByDpkg, level }: FileEventOptions = {},
): FileEvents {
  const report = createStateReporter(context, FILE_EVENTS);
  const transactions = createPackageTransactions(context, FILE_EVENTS, (paths) => verify(paths));
  const teller = createFileTeller(context, FILE_EVENTS);
  const comparison = createFileComparison(context, FILE_EVENTS, teller.tell);
  const wanted = new Map<string, boolean>();
  /** By path: who closed it after it was open for writing, and wrote nothing by a call. */
  let closed = new Map<string, Closed>();
  let watch: Watch | undefined;
  let watched: WatchedFiles | undefined;
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
    else report("degraded", `watched by inotify, which does not say who: ${unmarked.slice(0, 4).join("; ")}`);
  }

  async function aim(asked: WatchedFiles): Promise<void> {
    const paths = await withRealPaths(asked.roots);
    const mountinfo = await readFile("/proc/self/mountinfo", "utf8");
    // By inotify its own would be told like any other's.
    const excluded = [...foldersLeftOut(asked.rules), ...(without === undefined ? [] : (asked.own ?? []))];
    const now = JSON.stringify([paths, excluded, mountinfo, asked.rules, asked.crossFilesystems]);
    if (watch === undefined || now === aimed) return;
    wanted.clear();
    watched = asked;
    watch.aimChanges(paths, excluded);
    const refused: string[] = [];
    for (const { point, paths: watchedThere } of mountsOf(mountinfo, paths, asked.crossFilesystems ?? true)) {
      const problem = mark(point);
      if (problem === undefined) continue;
      // A watch for each folder is what is left.
      const walked = watchedThere.flatMap((path) => attempt(() => watch?.walkChanges(path)) ?? []);
      refused.push([problem, ...walked].join("; "));
    }
    unmarked = refused;
    aimed = now;
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

  function isWanted(path: Buffer, folder: boolean): boolean {
    if (watched === undefined) return false;
    const key = `${folder ? "d" : "f"}${path.toString("latin1")}`;
    const known = wanted.get(key);
    if (known !== undefined) return known;
    const { rules } = watched;
    const isOf = (type: FileType): boolean => {
      const rule = findRule(rules, path, type);
      return rule === undefined || rules[rule]?.group !== "ignore";
    };
    const types = new Set((folder ? (["folder"] as const) : TYPES).map(isOf));
    // The event does not say which of them it is.
    if (types.size > 1) return findCut(rules, path) === undefined && isOf(typeOf(path));
    const is = types.has(true) && findCut(rules, path) === undefined;
    if (wanted.size >= MAX_REMEMBERED) wanted.clear();
    wanted.set(key, is);
    return is;
  }

  function take(record: FileChangeRecord, at: number): void {
    const { path, from, folder } = record;
    const wantedNow = !record.toOutside && isWanted(path, folder);
    const wantedThen = record.moved && !record.fromOutside && from !== undefined && isWanted(from, folder);
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
    if (byPackageManager(touched)) return;
    const paths = [...(wantedNow ? [path] : []), ...(wantedThen ? [from] : [])];
    if (comparison.add(touched, paths, folder && record.moved)) return flushSoon();
    teller.tell(touched);
    if (record.moved && folder && wantedNow && !wantedThen) later(() => lookInto(touched, path));
  }

  function flushSoon(): void {
    if (flushing) return;
    flushing = true;
    later(async () => {
      flushing = false;
      await comparison.flush();
    });
  }

  function byPackageManager({ path, pid, startTime }: FileTouched): boolean {
    return pid !== undefined && transactions.take(path, pid, startTime);
  }

  /** Which of several it was cannot be told: each had it open for writing. */
  async function lookAtClosed(): Promise<void> {
    const some = closed;
    closed = new Map();
    const roots = [...some.values()].map(({ path }) => path);
    for await (const batch of walk({ ...EVERYTHING, roots, list: true })) {
      for (const bytes of entriesIn(batch)) {
        const { path, stat } = decodeEntry(bytes, 0, bytes.length);
        if (stat === undefined || !teller.isNews(path, stat.ctimeNs)) continue;
        for (const { record, at } of some.get(path.toString("latin1"))?.by ?? [])
          tell({ ...record, written: true }, at, path);
      }
    }
  }

  function tell(record: FileChangeRecord, at: number, path: Buffer): void {
    const touched = touchedOf(record, at);
    if (touched === undefined || byPackageManager(touched)) return;
    if (comparison.add(touched, [path], false)) flushSoon();
    else teller.tell(touched);
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
    if (comparison.has()) return comparison.all();
    const roots = await withRealPaths(asked.roots);
    for await (const batch of walk({
      ...EVERYTHING,
      roots: sorted(roots),
      rules: [...asked.rules, ANYTHING],
      crossFilesystems: true,
    })) {
      for (const bytes of entriesIn(batch)) {
        const { path, stat } = decodeEntry(bytes, 0, bytes.length);
        if (stat === undefined || stat.ctimeNs < since) continue;
        teller.tell({
          kind: "file.touched",
          at: context.now(),
          sensor: FILE_EVENTS,
          change: stat.mtimeNs >= since ? "written" : "attributes",
          ...namedBy(path),
          folder: stat.type === "folder",
          unnamed: "found by a look after events were lost",
          count: 0,
        });
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
      if (observation.kind === "file.changed") comparison.told(observation);
    },
    async settled() {
      await work;
    },
    async stop() {
      later(() => transactions.end());
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

function typeOf(path: Buffer): FileType {
  try {
    const found = lstatSync(path);
    return found.isFile() ? "file" : found.isSymbolicLink() ? "link" : "fifo";
  } catch {
    // What is gone was a file, as most are.
    return "file";
  }
}

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

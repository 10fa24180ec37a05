// Files as they should be, as a library: take a baseline while all is well, check against it, accept what was meant.

import { lstat, realpath } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { DEFAULT_ROOTS, DEFAULT_RULES } from "../baselines/files/defaults.ts";
import { differenceOf, errnoName, identityOf, movedFrom } from "../baselines/files/difference.ts";
import { textOf } from "../baselines/files/compare.ts";
import { comparePaths, entrySize, isAtOrBelow, type FileEntry } from "../baselines/files/entry.ts";
import { checkedRules, type FileRule } from "../baselines/files/rules.ts";
import type { FileEntries, FileScope } from "../baselines/files/statement.ts";
import { RimonError } from "../errors.ts";
import type { FileDifference } from "../file-changed.ts";
import { createEntriesWriter, type FileBaseline } from "./baseline-file.ts";
import { entriesIn, entryOf, scan } from "./scan.ts";
import { walk, type Pace, type WalkProgress } from "./walk.ts";

/** 64 GiB: a file that only says it is larger would hold up all others for an hour. */
const DEFAULT_MAX_BYTES = 64 * 2 ** 30;
/** Of files that came and went: beyond it they are told as that, and not looked through for one that moved. */
const MAX_MOVES = 20_000;

export interface FilesOptions extends Pace {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: WalkProgress) => void;
}

export interface InitOptions extends FilesOptions {
  /** Where the statement is to be; the entries come beside it. */
  readonly file: string;
  /** Absolute; what a node runs on (DEFAULT_ROOTS) if not given. */
  readonly roots?: readonly string[];
  /** In place of DEFAULT_RULES. */
  readonly rules?: readonly FileRule[];
  readonly crossFilesystems?: boolean;
  readonly maxBytes?: number;
  readonly expiresDays?: number;
}

/** What of a file could not be taken into a baseline. */
export interface FileTrouble {
  readonly path: string;
  readonly reason: string;
}

export interface Initialised {
  readonly entries: FileEntries;
  readonly scope: FileScope;
  readonly progress: WalkProgress;
  /** The first 1000. */
  readonly troubles: readonly FileTrouble[];
  readonly troubleCount: number;
}

const MAX_TROUBLES = 1000;

/** Writes a baseline of what is there now. */
export async function initFiles(options: InitOptions): Promise<Initialised> {
  const scope: FileScope = {
    roots: await rootsOf(options.roots),
    rules: checkedRules(options.rules ?? DEFAULT_RULES),
    crossFilesystems: options.crossFilesystems ?? false,
    maxBytes: options.maxBytes ?? DEFAULT_MAX_BYTES,
  };
  const troubles = createTroubles();
  let progress: WalkProgress = { entries: 0, bytes: 0, vanished: 0 };
  const writer = await createEntriesWriter(options.file);
  try {
    const roots = inOrder(scope.roots.map((root) => Buffer.from(root)));
    const walking = walk({
      ...options,
      ...scope,
      roots,
      onProgress(now) {
        progress = now;
        options.onProgress?.(now);
      },
    });
    for await (const batch of walking) {
      let count = 0;
      let at = 0;
      for (
        let size = entrySize(batch, at, batch.length);
        size !== undefined;
        size = entrySize(batch, at, batch.length)
      ) {
        troubles.look(batch, at, size);
        at += size;
        count++;
      }
      await writer.write(batch, count);
    }
    const entries = await writer.commit(
      scope,
      options.expiresDays === undefined ? {} : { expiresDays: options.expiresDays },
    );
    return { entries, scope, progress, ...troubles.found() };
  } catch (thrown) {
    await writer.abandon();
    throw thrown;
  }
}

function createTroubles() {
  const troubles: FileTrouble[] = [];
  let troubleCount = 0;
  return {
    /** error at 78, notes at 92: only of those that have one more is read. */
    look(batch: Buffer, at: number, size: number): void {
      if (batch.readUInt16LE(at + 78) === 0 && (batch.readUInt32LE(at + 92) & ~33) === 0) return;
      const entry = entryOf(batch.subarray(at, at + size));
      const reason = troubleOf(entry);
      if (reason === undefined) return;
      troubleCount++;
      if (troubles.length < MAX_TROUBLES) troubles.push({ path: textOf(entry.path), reason });
    },
    found: () => ({ troubles, troubleCount }),
  };
}

function troubleOf(entry: FileEntry): string | undefined {
  if (entry.error !== 0) return `it cannot be read in full: ${errnoName(entry.error)}`;
  if (entry.unstable) return "it was being written each time it was read";
  if (entry.tooLarge) return `its content was not read: it has ${entry.stat?.size} bytes`;
  if (entry.mount) return "another file system begins here, which was left out; name it to have it looked at";
  return undefined;
}

/** Roots that were asked for must be there; of the usual ones those that are. A link on the way to one is refused. */
async function rootsOf(roots: readonly string[] | undefined): Promise<readonly string[]> {
  const found: string[] = [];
  for (const root of roots ?? DEFAULT_ROOTS) {
    const path = resolve(root);
    if (!root.startsWith("/")) throw new RimonError("RIMON_USAGE", `a root must be an absolute path, got ${root}`);
    try {
      await lstat(path);
      const real = path === "/" ? path : join(await realpath(dirname(path)), path.slice(path.lastIndexOf("/") + 1));
      if (real !== path)
        throw new RimonError("RIMON_USAGE", `${path} is reached by a link: no link is followed, name ${real} instead`);
      found.push(path);
    } catch (thrown) {
      if (thrown instanceof RimonError) throw thrown;
      if (roots !== undefined)
        throw new RimonError("RIMON_USAGE", `${path} was to be looked at, and is not there`, { cause: thrown });
    }
  }
  if (found.length === 0) throw new RimonError("RIMON_USAGE", "there is nothing to look at; name a path");
  return found;
}

/** As a walk goes. One below another is walked once, with that; by its name it is gone into where another file system begins. */
function inOrder(paths: readonly Buffer[]): readonly Buffer[] {
  return paths.toSorted((a, b) => comparePaths(a, 0, a.length, b, 0, b.length));
}

/** In the order of a walk, none below another. */
export function sortedPaths(paths: readonly Buffer[]): readonly Buffer[] {
  const kept: Buffer[] = [];
  for (const path of inOrder(paths)) {
    const last = kept.at(-1);
    if (last === undefined || !isAtOrBelow(path, last)) kept.push(path);
  }
  return kept;
}

export interface CheckOptions extends FilesOptions {
  /** These and what is below them alone; they must be in the scope of the baseline. */
  readonly paths?: readonly (string | Buffer)[];
  /** Reads every file, also where its size, inode and times say that it is the same. */
  readonly full?: boolean;
  /** Is told each difference as it is found; files that came and went are told last. */
  readonly onDifference?: (difference: FileDifference) => void | Promise<void>;
}

export interface FilesChecked {
  readonly ok: boolean;
  readonly differences: number;
  readonly counts: Readonly<Record<FileDifference["change"], number>>;
  readonly progress: WalkProgress;
}

/** Compares what is there with a baseline. */
export async function checkFiles(baseline: FileBaseline, options: CheckOptions = {}): Promise<FilesChecked> {
  const { roots, before } = partOf(baseline, options.paths);
  const told = createTeller(baseline.scope.rules, options.onDifference);
  let progress: WalkProgress = { entries: 0, bytes: 0, vanished: 0 };
  await scan(
    baseline.scope,
    roots,
    before,
    { pair: told.pair, flush: told.flush },
    {
      ...options,
      full: options.full ?? false,
      onProgress(now) {
        progress = now;
        options.onProgress?.(now);
      },
    },
  );
  await told.end();
  return { ...told.summary(), progress };
}

function partOf(baseline: FileBaseline, paths: CheckOptions["paths"]) {
  const all = inOrder(baseline.scope.roots.map((root) => Buffer.from(root)));
  if (paths === undefined || paths.length === 0) return { roots: all, before: baseline.pieces(), named: undefined };
  const named = sortedPaths(paths.map((path) => (typeof path === "string" ? Buffer.from(resolve(path)) : path)));
  const outside = named.find((path) => !all.some((root) => isAtOrBelow(path, root)));
  if (outside !== undefined)
    throw new RimonError(
      "RIMON_USAGE",
      `${textOf(outside)} is not in the scope of the baseline: ${baseline.scope.roots.join(", ")}`,
    );
  const below = all.filter((root) => named.some((path) => isAtOrBelow(root, path)));
  return { roots: inOrder([...named, ...below]), before: baseline.piecesBelow(named), named };
}

/** A small Buffer shares its memory with those that were made beside it, and would keep all of it. */
function alone(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

function createTeller(rules: readonly FileRule[], onDifference: CheckOptions["onDifference"]) {
  const counts = { added: 0, removed: 0, changed: 0, moved: 0, unreadable: 0, unstable: 0 };
  let waiting: FileDifference[] = [];
  /** Of those that came and went: as they lie in a baseline, since that is a tenth of what they are otherwise. */
  const gone = new Map<string, Buffer>();
  const come = new Map<string, Buffer>();

  function tell(difference: FileDifference): void {
    counts[difference.change]++;
    if (onDifference !== undefined) waiting.push(difference);
  }

  function hold(bytes: Buffer, entry: FileEntry, difference: FileDifference): void {
    const isGone = difference.change === "removed";
    const [mine, others] = isGone ? [gone, come] : [come, gone];
    const identity = identityOf(entry);
    if (identity === undefined || mine.has(identity) || mine.size >= MAX_MOVES) return tell(difference);
    const other = others.get(identity);
    if (other === undefined) {
      mine.set(identity, alone(bytes));
      return;
    }
    others.delete(identity);
    const moved = isGone ? movedFrom(entry, entryOf(other), rules) : movedFrom(entryOf(other), entry, rules);
    if (moved !== undefined) tell(moved);
  }

  function tellHeld(held: Map<string, Buffer>, isGone: boolean): void {
    for (const bytes of held.values()) {
      const entry = entryOf(bytes);
      const difference = isGone ? differenceOf(entry, undefined, rules) : differenceOf(undefined, entry, rules);
      if (difference !== undefined) tell(difference);
    }
    held.clear();
  }

  async function flush(): Promise<void> {
    const now = waiting;
    waiting = [];
    for (const difference of now) await onDifference?.(difference);
  }

  return {
    pair(was: Buffer | undefined, is: Buffer | undefined): void {
      const [before, after] = [
        was === undefined ? undefined : entryOf(was),
        is === undefined ? undefined : entryOf(is),
      ];
      const difference = differenceOf(before, after, rules);
      if (difference === undefined) return;
      const [bytes, entry] = [is ?? was, after ?? before];
      const hasComeOrGone = difference.change === "added" || difference.change === "removed";
      if (hasComeOrGone && bytes !== undefined && entry !== undefined) hold(bytes, entry, difference);
      else tell(difference);
    },
    flush,
    async end(): Promise<void> {
      tellHeld(gone, true);
      await flush();
      tellHeld(come, false);
      await flush();
    },
    summary() {
      const differences = Object.values(counts).reduce((sum, count) => sum + count, 0);
      return { ok: differences === 0, differences, counts };
    },
  };
}

/**
 * What of these very paths is not as the baseline says, and of nothing below them: for whoever is told that they changed.
 * Paths that the rules leave out, and those outside the roots, have no difference.
 */
export async function checkPaths(
  baseline: FileBaseline,
  paths: readonly (string | Buffer)[],
  options: FilesOptions = {},
): Promise<readonly FileDifference[]> {
  const roots = sortedPaths(baseline.scope.roots.map((root) => Buffer.from(root)));
  const asked = new Map<string, Buffer>();
  for (const path of paths) {
    const bytes = typeof path === "string" ? Buffer.from(path) : path;
    if (roots.some((root) => isAtOrBelow(bytes, root))) asked.set(bytes.toString("latin1"), bytes);
  }
  const now = new Map<string, Buffer>();
  const how = { idle: false, threads: 1, ...options, ...baseline.scope };
  const look = async (which: readonly Buffer[], limits?: readonly bigint[]): Promise<void> => {
    for await (const batch of walk({ ...how, roots: which, list: true, ...(limits === undefined ? {} : { limits }) }))
      for (const entry of entriesIn(batch)) now.set(entryOf(entry).path.toString("latin1"), entry);
  };
  const before = await baseline.find([...asked.values()]);
  const limits = [...asked.keys()].map((key) => growsFrom(before.get(key), baseline.scope.rules));
  await look([...asked.values()], limits);
  const differences: FileDifference[] = [];
  for (const key of asked.keys()) {
    const [was, is] = [before.get(key), now.get(key)];
    const difference = differenceOf(
      was === undefined ? undefined : entryOf(was),
      is === undefined ? undefined : entryOf(is),
      baseline.scope.rules,
    );
    if (difference !== undefined) differences.push(difference);
  }
  return differences;
}

const ALL_OF_IT = 0xffff_ffff_ffff_ffffn;

function growsFrom(before: Buffer | undefined, rules: readonly FileRule[]): bigint {
  const entry = before === undefined ? undefined : entryOf(before);
  if (entry?.stat?.type !== "file" || rules[entry.rule]?.group !== "growing") return ALL_OF_IT;
  return entry.stat.size;
}

export interface UpdateOptions extends CheckOptions {
  readonly expiresDays?: number;
}

/** Makes a new baseline in place of an old one: what is there now, of these paths or of all; the rest stays as it was. */
export async function updateFiles(
  baseline: FileBaseline,
  options: UpdateOptions = {},
): Promise<FilesChecked & { readonly entries: FileEntries }> {
  const { roots, named } = partOf(baseline, options.paths);
  const told = createTeller(baseline.scope.rules, options.onDifference);
  const writer = await createEntriesWriter(baseline.file);
  let progress: WalkProgress = { entries: 0, bytes: 0, vanished: 0 };
  let out: Buffer[] = [];
  const write = async (): Promise<void> => {
    const entries = await whole(out, { ...options, ...baseline.scope });
    out = [];
    if (entries.length > 0) await writer.write(Buffer.concat(entries), entries.length);
    await told.flush();
  };
  try {
    const sink = {
      unchanged: (entry: Buffer) => void out.push(entry),
      pair(was: Buffer | undefined, is: Buffer | undefined) {
        const isMeant = named === undefined || is !== undefined || was === undefined || isNamed(was, named);
        if (isMeant) told.pair(was, is);
        const kept = isMeant ? is : was;
        if (kept !== undefined) out.push(kept);
      },
      flush: write,
    };
    await scan(baseline.scope, roots, baseline.pieces(), sink, {
      ...options,
      full: options.full ?? false,
      onProgress(now) {
        progress = now;
        options.onProgress?.(now);
      },
    });
    await write();
    await told.end();
    const entries = await writer.commit(baseline.scope, {
      previous: baseline.entries.sha256,
      ...(options.expiresDays === undefined ? {} : { expiresDays: options.expiresDays }),
    });
    return { ...told.summary(), progress, entries };
  } catch (thrown) {
    await writer.abandon();
    throw thrown;
  }
}

function isNamed(entry: Buffer, named: readonly Buffer[]): boolean {
  const { path } = entryOf(entry);
  return named.some((each) => isAtOrBelow(path, each));
}

/** A log was compared in its beginning; what is kept of it is all of it. */
async function whole(entries: readonly Buffer[], how: FilesOptions & FileScope): Promise<readonly Buffer[]> {
  const paths = entries.flatMap((entry) => (entryOf(entry).cut ? [entryOf(entry).path] : []));
  if (paths.length === 0) return entries;
  const read = new Map<string, Buffer>();
  const { onProgress: _, ...rest } = how;
  for await (const batch of walk({ ...rest, roots: paths, list: true }))
    for (const entry of entriesIn(batch)) read.set(entryOf(entry).path.toString("latin1"), entry);
  return entries.flatMap((entry) => {
    const { cut, path } = entryOf(entry);
    if (!cut) return [entry];
    const now = read.get(path.toString("latin1"));
    return now === undefined ? [] : [now];
  });
}

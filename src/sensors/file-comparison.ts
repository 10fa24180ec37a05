// What was done to files held against the baseline, at once and of these files alone: so that a finding says what a file
// is now, what it was, and who did it. The baseline stays open while it is the same file.

import { stat } from "node:fs/promises";
import { isAtOrBelow } from "../baselines/files/entry.ts";
import type { FileSettings } from "../configuration.ts";
import type { FileActor, FileDifference } from "../file-changed.ts";
import type { FileTouch, FileTouched } from "../file-touched.ts";
import type { FileBaseline } from "../files/baseline-file.ts";
import { checkFiles, checkPaths } from "../files/check.ts";
import { keyOf, openConfigured, sayingOf, shortened } from "./files.ts";
import type { SensorContext } from "./sensor.ts";

/** Waiting to be compared: more are found by a comparison of everything. */
const MAX_WAITING = 16_384;
const AT_ONCE = 256;
/** A file that is written all the time is read once in this time. */
const REST_MS = 1_000;
const MAX_TOLD = 1_000;
const MAX_REMEMBERED = 50_000;
/** That one file was before it was compared. */
const MAX_NAMES = 64;

interface Waiting {
  readonly touched: FileTouched;
  readonly paths: readonly Buffer[];
  /** With what is below it. */
  readonly below: boolean;
}

export type ComparedWith = Pick<FileSettings, "baseline" | "publicKeys" | "threshold" | "lastGood">;

export interface FileComparison {
  /** Opens it, or what has taken its place; undefined: there is none that can be believed. */
  refresh(settings: ComparedWith): Promise<FileBaseline | undefined>;
  has(): boolean;
  /** False if there is nothing to compare with. */
  add(touched: FileTouched, paths: readonly Buffer[], below: boolean): boolean;
  /** Compares what waits. */
  flush(): Promise<void>;
  /** Compares everything: events were lost. */
  all(): Promise<void>;
  /** Another sensor, or this one, told a difference. */
  told(difference: FileDifference): void;
  close(): Promise<void>;
}

export function createFileComparison(
  context: Pick<SensorContext, "emit" | "now" | "lineage" | "openBaseline">,
  sensor: string,
  tellTouched: (touched: FileTouched) => void,
): FileComparison {
  let baseline: FileBaseline | undefined;
  let version = "";
  let waiting = new Map<string, Waiting>();
  let tooMany = false;
  const comparedAt = new Map<string, number>();
  const told = new Map<string, string>();

  function actorOf({ pid, startTime }: FileTouched): FileActor | undefined {
    if (pid === undefined) return undefined;
    const process = context.lineage(pid, startTime).find((each) => each.pid === pid);
    const start = startTime ?? process?.startTime;
    return {
      pid,
      ...(start === undefined ? {} : { startTime: start }),
      ...(process === undefined ? {} : { comm: process.comm }),
      ...(process?.exe === undefined ? {} : { exe: process.exe }),
    };
  }

  function tell(difference: FileDifference, touched: FileTouched | undefined): void {
    const actor = touched === undefined ? undefined : actorOf(touched);
    context.emit({
      kind: "file.changed",
      at: touched?.at ?? context.now(),
      sensor,
      ...shortened(difference),
      ...(actor === undefined ? {} : { actor }),
    });
  }

  async function compare(base: FileBaseline, some: readonly Waiting[]): Promise<void> {
    const single = some.filter(({ below }) => !below);
    const differences = await checkPaths(
      base,
      single.flatMap(({ paths }) => paths),
    );
    const byPath = new Map(differences.map((difference) => [keyOf(difference), difference]));
    // Where a root is a link, it is compared, and what it leads to is watched as well: of that the baseline says nothing.
    const isInScope = (path: Buffer): boolean => base.scope.roots.some((root) => isAtOrBelow(path, Buffer.from(root)));
    const tellAlike = (touched: FileTouched, paths: readonly Buffer[]): void =>
      tellTouched(paths.every(isInScope) ? { ...touched, asBefore: true } : touched);
    for (const { touched, paths } of single) {
      const found = paths.flatMap((path) => byPath.get(nameOf(path)) ?? []);
      for (const difference of found) tell(difference, touched);
      if (found.length === 0) tellAlike(touched, paths);
    }
    for (const { touched, paths } of some.filter(({ below }) => below)) {
      let count = 0;
      const inScope = paths.filter(isInScope);
      if (inScope.length > 0)
        await checkFiles(base, {
          paths: inScope,
          threads: 1,
          onDifference: (difference) => {
            if (count++ < MAX_TOLD) tell(difference, touched);
          },
        });
      if (count === 0) tellAlike(touched, paths);
      lostIf(count - MAX_TOLD);
    }
  }

  function lostIf(count: number): void {
    if (count <= 0) return;
    context.emit({
      kind: "sensor.lost",
      at: context.now(),
      sensor,
      count,
      reason: "so many files differ from the baseline that not each is told; rimon files check names them",
    });
  }

  return {
    async refresh(settings) {
      try {
        const found = await stat(settings.baseline, { bigint: true });
        const now = JSON.stringify([settings, String(found.ino), String(found.ctimeNs)]);
        if (now === version) return baseline;
        version = now;
        await baseline?.close();
        baseline = undefined;
        baseline = await openConfigured(context, settings);
        // Node compiles what it runs for the first time: not when the first change is to be told. What is wrong is told then.
        await checkPaths(baseline, baseline.scope.roots.slice(0, 1)).catch(() => []);
      } catch (thrown) {
        await baseline?.close();
        baseline = undefined;
        if ((thrown as NodeJS.ErrnoException).code === "ENOENT") version = "";
      }
      return baseline;
    },
    has: () => baseline !== undefined,
    add(touched, paths, below) {
      if (baseline === undefined) return false;
      const key = `${touched.pid ?? ""}:${touched.startTime ?? ""} ${touched.path}`;
      const before = waiting.get(key);
      if (before === undefined ? waiting.size >= MAX_WAITING : before.paths.length >= MAX_NAMES) tooMany = true;
      else waiting.set(key, joined(before, { touched, paths, below }));
      return true;
    },
    async flush() {
      const base = baseline;
      const now = context.now();
      if (base === undefined) return;
      const due = [...waiting].filter(
        ([key]) => now - (comparedAt.get(key) ?? 0) >= REST_MS || now < (comparedAt.get(key) ?? 0),
      );
      for (let at = 0; at < due.length; at += AT_ONCE) {
        const some = due.slice(at, at + AT_ONCE);
        for (const [key] of some) {
          waiting.delete(key);
          comparedAt.delete(key);
          comparedAt.set(key, now);
        }
        const each = some.map(([, one]) => one);
        try {
          await compare(base, each);
        } catch (thrown) {
          // What cannot be compared was done all the same.
          for (const { touched } of each) tellTouched(touched);
          throw thrown;
        }
      }
      for (const oldest of comparedAt.keys()) {
        if (comparedAt.size <= MAX_REMEMBERED) break;
        comparedAt.delete(oldest);
      }
      if (!tooMany) return;
      tooMany = false;
      await this.all();
    },
    async all() {
      if (baseline === undefined) return;
      let count = 0;
      await checkFiles(baseline, {
        threads: 1,
        onDifference: (difference) => {
          if (told.get(keyOf(difference)) === sayingOf(difference)) return;
          if (count++ < MAX_TOLD) tell(difference, undefined);
        },
      });
      lostIf(count - MAX_TOLD);
    },
    told(difference) {
      if (told.size < MAX_REMEMBERED) told.set(keyOf(difference), sayingOf(difference));
    },
    async close() {
      waiting = new Map();
      version = "";
      await baseline?.close();
      baseline = undefined;
    },
  };
}

function nameOf(path: Buffer): string {
  const text = path.toString("utf8");
  return Buffer.from(text).equals(path) ? text : path.toString("hex");
}

/** What one process did to one file, one thing after another: moved it there and gave it another mode. */
function joined(before: Waiting | undefined, { touched, paths, below }: Waiting): Waiting {
  if (before === undefined) return { touched, paths, below };
  const didOf = (each: FileTouched): readonly FileTouch[] => each.did ?? [each.change];
  const did = [...new Set([...didOf(before.touched), ...didOf(touched)])];
  const others = before.paths.filter((path) => !paths.some((each) => each.equals(path)));
  return {
    touched: {
      ...before.touched,
      ...touched,
      change: did.findLast((each) => each !== "attributes") ?? touched.change,
      ...(did.length > 1 ? { did } : {}),
      count: before.touched.count + touched.count,
    },
    paths: [...paths, ...others],
    below: below || before.below,
  };
}

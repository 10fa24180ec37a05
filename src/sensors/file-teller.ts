// Tells what was done to files, each by itself while that can be read, and by folder and process when it is a storm.

import { lstatSync } from "node:fs";
import type { FileTouched } from "../file-touched.ts";
import type { SensorContext } from "./sensor.ts";

/** In one interval; what is more is told at its end. */
const MAX_TOLD = 500;
const MAX_FOLDERS = 1_024;
const NAMED = 16;
const MAX_REMEMBERED = 32_768;

interface Storm {
  readonly first: FileTouched;
  readonly folder: string;
  readonly names: string[];
  files: number;
  events: number;
}

interface FileTimes {
  readonly ctimeNs: bigint;
  readonly mtimeNs: bigint;
}

export interface FileTeller {
  tell(touched: FileTouched): void;
  /** What a file shows by now is of what is told: whoever closes it later has not written it. */
  account(touched: FileTouched, path: Buffer): void;
  /** Whether a file has to show for it that it was changed after what was last told of it, or the beginning, and until then. */
  isNews(path: Buffer, times: FileTimes, untilMs: number): boolean;
  /** That this is told. */
  remember(path: Buffer, times: FileTimes): void;
  /** An interval is over. */
  pass(): void;
}

export function createFileTeller(context: Pick<SensorContext, "emit" | "now">, sensor: string): FileTeller {
  const began = nanoseconds(context.now());
  const known = new Map<string, FileTimes>();
  const storms = new Map<string, Storm>();
  let told = 0;
  let uncounted = 0;

  function gather(touched: FileTouched): void {
    const slash = touched.path.lastIndexOf("/");
    const folder = touched.path.slice(0, Math.max(1, slash));
    const key = `${touched.pid ?? ""}:${touched.startTime ?? ""} ${folder}`;
    const storm = storms.get(key);
    if (storm !== undefined) {
      storm.files++;
      storm.events += touched.count;
      if (storm.names.length < NAMED) storm.names.push(touched.path.slice(slash + 1));
      return;
    }
    if (storms.size >= MAX_FOLDERS) {
      uncounted++;
      return;
    }
    storms.set(key, {
      first: touched,
      folder,
      names: [touched.path.slice(slash + 1)],
      files: 1,
      events: touched.count,
    });
  }

  function timesKnown(path: Buffer): FileTimes {
    return known.get(path.toString("latin1")) ?? { ctimeNs: began, mtimeNs: began };
  }

  function remember(path: Buffer, times: FileTimes): void {
    const key = path.toString("latin1");
    known.delete(key);
    known.set(key, times);
    for (const oldest of known.keys()) {
      if (known.size <= MAX_REMEMBERED) break;
      known.delete(oldest);
    }
  }

  return {
    tell(touched) {
      if (told >= MAX_TOLD) return gather(touched);
      told++;
      context.emit(touched);
    },
    account({ change, did = [change] }, path) {
      if (did.some((each) => each !== "attributes")) {
        const now = nanoseconds(context.now() + 1);
        return remember(path, { ctimeNs: now, mtimeNs: now });
      }
      const found = timesOf(path);
      if (found === undefined) return;
      // A mode leaves mtime to whoever wrote by a mapping before; touch(1) sets both.
      const isTimeSet = found.mtimeNs >= found.ctimeNs;
      remember(path, isTimeSet ? found : { ...found, mtimeNs: timesKnown(path).mtimeNs });
    },
    isNews(path, { ctimeNs, mtimeNs }, untilMs) {
      const before = timesKnown(path);
      const isBetween = (time: bigint, since: bigint): boolean => time > since && Number(time) / 1e6 <= untilMs;
      return isBetween(ctimeNs, before.ctimeNs) || isBetween(mtimeNs, before.mtimeNs);
    },
    remember,
    pass() {
      told = 0;
      for (const { first, folder, names, files, events } of storms.values()) {
        const { did: _did, from: _from, pathHex: _pathHex, crossed: _crossed, ...rest } = first;
        context.emit({ ...rest, path: folder, folder: true, count: events, files: { count: files, names } });
      }
      storms.clear();
      if (uncounted > 0)
        context.emit({
          kind: "sensor.lost",
          at: context.now(),
          sensor,
          count: uncounted,
          reason: `changes in more than ${MAX_FOLDERS} folders at once, by as many processes`,
        });
      uncounted = 0;
    },
  };
}

function timesOf(path: Buffer): FileTimes | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.floor(ms)) * 1_000_000n;
}

// Tells what was done to files, each by itself while that can be read, and by folder and process when it is a storm.

import type { FileTouched } from "../file-touched.ts";
import type { SensorContext } from "./sensor.ts";

/** In one interval; what is more is told at its end. */
const MAX_TOLD = 500;
const MAX_FOLDERS = 1_024;
const NAMED = 16;
const MAX_REMEMBERED = 8_192;

interface Storm {
  readonly first: FileTouched;
  readonly folder: string;
  readonly names: string[];
  files: number;
  events: number;
}

export interface FileTeller {
  tell(touched: FileTouched): void;
  /** Whether a file with this ctime was changed since it was last told, or since the beginning. */
  isNews(path: Buffer, ctimeNs: bigint): boolean;
  /** An interval is over. */
  pass(): void;
}

export function createFileTeller(context: Pick<SensorContext, "emit" | "now">, sensor: string): FileTeller {
  const began = BigInt(context.now()) * 1_000_000n;
  const ctimes = new Map<string, bigint>();
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

  return {
    tell(touched) {
      if (told >= MAX_TOLD) return gather(touched);
      told++;
      context.emit(touched);
    },
    isNews(path, ctimeNs) {
      const key = path.toString("latin1");
      const known = ctimes.get(key) ?? began;
      if (ctimeNs <= known) return false;
      ctimes.delete(key);
      ctimes.set(key, ctimeNs);
      for (const oldest of ctimes.keys()) {
        if (ctimes.size <= MAX_REMEMBERED) break;
        ctimes.delete(oldest);
      }
      return true;
    },
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

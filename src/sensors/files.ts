// Files against a baseline, at an interval, by threads that stand behind all others. Off unless the configuration asks for
// it. Between two passes a change may come and go: events are another sensor's.

import type { PublicKey } from "../baselines/dsse.ts";
import { SealProblem } from "../baselines/seal.ts";
import { FILE_BASELINE } from "../baselines/files/statement.ts";
import type { FileSettings } from "../configuration.ts";
import { RimonError, reasonOf } from "../errors.ts";
import type { FileDifference } from "../file-changed.ts";
import { openFileBaseline, type FileBaseline } from "../files/baseline-file.ts";
import { checkFiles } from "../files/check.ts";
import { readPinnedKeys } from "../named-files.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

/** More differences than that in one check are counted: somebody has replaced the system, or forgotten the baseline. */
const MAX_TOLD = 1_000;
const MAX_REMEMBERED = 50_000;
const MAX_VALUE = 1_024;

export function createFiles(context: SensorContext, settings: () => FileSettings | undefined): Sensor {
  const name = "files";
  const report = createStateReporter(context, name);
  /** By path, what was told of it. */
  let told = new Map<string, string>();
  let nextAt = 0;
  let nextFullAt = 0;
  let lastCounter: number | undefined;
  /** Why the baseline was refused, as it was told. */
  let refused: string | undefined;
  let running: Promise<void> | undefined;
  /** Until it is known whether there is a baseline to compare with. */
  let opening: Promise<void> = Promise.resolve();
  let stopping = new AbortController();

  async function check(asked: FileSettings, full: boolean, signal: AbortSignal): Promise<void> {
    let baseline: FileBaseline | undefined;
    try {
      const opened = open(asked);
      opening = opened.then(
        () => report("live"),
        (thrown: unknown) => report("degraded", reasonOf(thrown)),
      );
      baseline = await opened;
      lastCounter = baseline.header.counter;
      refused = undefined;
      await compare(baseline, asked, full, signal);
      if (full) nextFullAt = context.now() + asked.fullEveryMs;
    } catch (thrown) {
      if (!signal.aborted) report("degraded", reasonOf(thrown));
    } finally {
      nextAt = context.now() + asked.intervalMs;
      await baseline?.close();
    }
  }

  async function open(asked: FileSettings): Promise<FileBaseline> {
    try {
      return await openConfigured(context, asked, lastCounter);
    } catch (thrown) {
      if (thrown instanceof RefusedFiles) refuse(asked.baseline, thrown.sealCode, thrown.message);
      throw thrown;
    }
  }

  /** Once for each reason. */
  function refuse(path: string, code: string, message: string): void {
    if (refused === code) return;
    refused = code;
    context.emit({ kind: "baseline.refused", at: context.now(), sensor: name, of: "files", path, code, message, using: "none" }); // prettier-ignore
  }

  async function compare(
    baseline: FileBaseline,
    asked: FileSettings,
    full: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const found = new Map<string, string>();
    let count = 0;
    let untold = 0;
    const onDifference = (difference: FileDifference): void => {
      const key = keyOf(difference);
      const says = sayingOf(difference);
      if (found.size < MAX_REMEMBERED) found.set(key, says);
      if (told.get(key) === says) return;
      if (count++ < MAX_TOLD) tell(difference);
      else untold++;
    };
    await checkFiles(baseline, { full, signal, bytesPerSecond: asked.bytesPerSecond, threads: 1, onDifference });
    // What is as it was again is told anew if it changes once more.
    told = found;
    if (untold > 0)
      context.emit({
        kind: "sensor.lost",
        at: context.now(),
        sensor: name,
        count: untold,
        reason: "so many files differ from the baseline that not each is told; rimon files check names them",
      });
  }

  function tell(difference: FileDifference): void {
    context.emit({ kind: "file.changed", at: context.now(), sensor: name, ...shortened(difference) });
  }

  async function pass(): Promise<void> {
    const asked = settings();
    if (asked === undefined) {
      stopping.abort();
      told.clear();
      return report("off", "not asked for");
    }
    if (running !== undefined || context.now() < nextAt) return;
    if (stopping.signal.aborted) stopping = new AbortController();
    const full = context.now() >= nextFullAt;
    // It takes longer than a pass may.
    running = check(asked, full, stopping.signal).finally(() => {
      running = undefined;
    });
  }

  return {
    name,
    sees: "files that are not what the baseline says: content, mode, owner, capabilities, access lists, flags; what was added, removed or moved",
    needs: ["dac_read_search"],
    async start() {
      await pass();
      await opening;
    },
    pass,
    notice(observation) {
      // What was told as it happened is not told once more.
      if (observation.kind !== "file.changed" || observation.sensor === name) return;
      if (told.size < MAX_REMEMBERED) told.set(keyOf(observation), sayingOf(observation));
    },
    async settled() {
      await running;
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** The baseline of files is not to be believed. */
export class RefusedFiles extends RimonError {
  readonly sealCode: string;

  constructor(sealCode: string, message: string, options?: ErrorOptions) {
    super("RIMON_CONFIG", message, options);
    this.sealCode = sealCode;
  }
}

/** The baseline of the configuration; throws RefusedFiles, or a RimonError about a key. */
export async function openConfigured(
  context: Pick<SensorContext, "openBaseline">,
  {
    baseline: file,
    publicKeys,
    threshold,
    lastGood,
  }: Pick<FileSettings, "baseline" | "publicKeys" | "threshold" | "lastGood">,
  lastCounter?: number,
): Promise<FileBaseline> {
  const keys = await keysOf(publicKeys);
  if (keys.length > 0) {
    // The counter of a sealed one is remembered; that of one that anybody could have made proves nothing.
    const sealed = { file, publicKeys, threshold, ifRefused: "none", lastGood } as const;
    const { refused } = await context.openBaseline(sealed, FILE_BASELINE);
    if (refused !== undefined) throw new RefusedFiles(refused.code, `${file}: ${refused.message}`);
  }
  try {
    return await openFileBaseline(file, { keys, threshold, ...(lastCounter === undefined ? {} : { lastCounter }) });
  } catch (thrown) {
    throw new RefusedFiles(codeOf(thrown), reasonOf(thrown), { cause: thrown });
  }
}

function codeOf(thrown: unknown): string {
  if (thrown instanceof SealProblem) return thrown.code;
  const { cause } = thrown as Error;
  return (cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT" ? "missing" : "unreadable";
}

/** A difference as an observation has it. */
export function shortened(difference: FileDifference): FileDifference {
  const cut = (value: string): string => (value.length > MAX_VALUE ? `${value.slice(0, MAX_VALUE)}...` : value);
  const attributes = difference.attributes.map(({ attribute, before, after }) => ({
    attribute,
    ...(before === undefined ? {} : { before: cut(before) }),
    ...(after === undefined ? {} : { after: cut(after) }),
  }));
  return { ...difference, attributes };
}

/** Whose difference it is, and what it says: another of the same file is news. */
export function keyOf({ path, pathHex }: FileDifference): string {
  return pathHex ?? path;
}

export function sayingOf(difference: FileDifference): string {
  const { change, attributes, reason } = shortened(difference);
  return JSON.stringify([change, attributes, reason]);
}

async function keysOf(files: readonly string[]): Promise<readonly PublicKey[]> {
  try {
    return await readPinnedKeys(files);
  } catch (thrown) {
    throw new RimonError("RIMON_CONFIG", `files.publicKeys: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

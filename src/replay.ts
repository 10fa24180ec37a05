// Recorded observations through the same analysis that a live node takes. Needs no privileges and no addon.

import { createAnalysis, type Self } from "./analysis.ts";
import type { Configuration } from "./configuration.ts";
import { RimonError, reasonOf } from "./errors.ts";
import type { Verdict } from "./finding.ts";
import { createIdentifiers } from "./identifier.ts";
import type { Observation } from "./observation.ts";
import { ancestorsOf } from "./responders/kill-suspect.ts";

export const RECORDING_VERSION = 1;

/** The first line of a recording: on whose behalf it was made. */
export interface RecordingHeader {
  readonly recording: typeof RECORDING_VERSION;
  readonly node: string;
  readonly pid: number;
  readonly ancestors: readonly number[];
}

export function recordingHeader(node: string): RecordingHeader {
  return { recording: RECORDING_VERSION, node, pid: process.pid, ancestors: [...ancestorsOf(process.pid)] };
}

const MAX_LINE = 4 * 1024 * 1024;

const KINDS: ReadonlySet<string> = new Set<Observation["kind"]>([
  "process.seen", "process.forked", "process.exited", "ptrace.attached", "ptrace.detached", "procfs.accessed",
  "sysctl.written", "setting.seen", "process.dumping", "posture.seen", "maps.seen", "key-file.held",
  "executable.identified", "own-file.changed", "procfs.mounted", "sensor.state", "sensor.lost", "self.troubled", "tick",
]); // prettier-ignore

/** Yields the verdicts of a recording, line by line; the same recording gives the same verdicts, ids included. */
export async function* replay(
  lines: AsyncIterable<string>,
  configuration: Configuration,
  file: string,
): AsyncGenerator<Verdict> {
  let number = 0;
  let analysis: ReturnType<typeof createAnalysis> | undefined;
  for await (const line of lines) {
    number++;
    if (line.trim() === "") continue;
    const where = `${file}:${number}`;
    const value = parse(line, where);
    if (analysis === undefined) {
      const self: Self = isHeader(value)
        ? { pid: value.pid, ancestors: new Set(value.ancestors) }
        : { pid: -1, ancestors: new Set() };
      analysis = createAnalysis(
        isHeader(value) ? { ...configuration, node: value.node } : configuration,
        self,
        createIdentifiers(() => new Uint8Array(10)),
      );
      if (isHeader(value)) continue;
    }
    const observation = observationOf(value, where);
    try {
      yield* analysis.absorb(observation);
    } catch (thrown) {
      throw new RimonError(
        "RIMON_USAGE",
        `${where}: a ${observation.kind} observation lacks what its kind needs: ${reasonOf(thrown)}`,
        { cause: thrown },
      );
    }
  }
}

function parse(line: string, where: string): unknown {
  if (line.length > MAX_LINE)
    throw new RimonError("RIMON_USAGE", `${where}: a line of ${line.length} characters; at most ${MAX_LINE} are read`);
  try {
    return JSON.parse(line);
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", `${where}: expected one JSON object a line: ${reasonOf(thrown)}`, {
      cause: thrown,
    });
  }
}

function observationOf(value: unknown, where: string): Observation {
  if (typeof value !== "object" || value === null)
    throw new RimonError(
      "RIMON_USAGE",
      `${where}: expected an observation, got ${JSON.stringify(value)?.slice(0, 40)}`,
    );
  const { kind, at, sensor } = value as Record<string, unknown>;
  if (typeof kind !== "string" || !KINDS.has(kind))
    throw new RimonError(
      "RIMON_USAGE",
      `${where}: expected the kind of an observation, got ${JSON.stringify(kind)?.slice(0, 40) ?? "none"}`,
    );
  if (typeof at !== "number" || !Number.isFinite(at) || Math.abs(at) > 8.64e15)
    throw new RimonError(
      "RIMON_USAGE",
      `${where}: expected "at" in milliseconds since the epoch, got ${JSON.stringify(at) ?? "nothing"}`,
    );
  if (typeof sensor !== "string")
    throw new RimonError(
      "RIMON_USAGE",
      `${where}: expected the name of a sensor, got ${JSON.stringify(sensor) ?? "nothing"}`,
    );
  return value as Observation;
}

function isHeader(value: unknown): value is RecordingHeader {
  if (typeof value !== "object" || value === null) return false;
  const { recording, pid, ancestors, node } = value as Record<string, unknown>;
  return (
    recording === RECORDING_VERSION && typeof pid === "number" && typeof node === "string" && Array.isArray(ancestors)
  );
}

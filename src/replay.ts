// Recorded observations through the same analysis that a live node takes. Needs no privileges and no addon.

import { createAnalysis, type Self } from "./analysis.ts";
import type { Configuration } from "./configuration.ts";
import { RimonError, reasonOf } from "./errors.ts";
import type { Verdict } from "./finding.ts";
import { createIdentifiers } from "./identifier.ts";
import type { Observation } from "./observation.ts";
import { observationProblem } from "./observation-shape.ts";
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
      const header = headerOf(value, where);
      const self: Self = { pid: header?.pid ?? -1, ancestors: new Set(header?.ancestors) };
      analysis = createAnalysis(
        { ...configuration, node: header?.node ?? configuration.node },
        self,
        createIdentifiers(() => new Uint8Array(16)),
      );
      if (header !== undefined) continue;
    }
    yield* analysis.absorb(observationOf(value, where));
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
  const problem = observationProblem(value);
  if (problem !== undefined) throw new RimonError("RIMON_USAGE", `${where}: ${problem}`);
  return value as Observation;
}

/** The header a recording may begin with; undefined if the line is no header at all. */
function headerOf(value: unknown, where: string): RecordingHeader | undefined {
  if (typeof value !== "object" || value === null || !("recording" in value)) return undefined;
  const { recording, pid, ancestors, node } = value as Record<string, unknown>;
  if (recording !== RECORDING_VERSION)
    throw new RimonError(
      "RIMON_USAGE",
      `${where}: expected a recording of version ${RECORDING_VERSION}, got ${JSON.stringify(recording).slice(0, 40)}`,
    );
  if (typeof pid !== "number" || typeof node !== "string" || !isNumbers(ancestors))
    throw new RimonError("RIMON_USAGE", `${where}: expected a header with node, pid and ancestors`);
  return { recording, pid, ancestors, node };
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((each) => typeof each === "number");
}

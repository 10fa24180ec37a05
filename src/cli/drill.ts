// rimon drill: the table of what was attacked and what was seen.

import { drillExitCode, drillLatency, runDrill, type DrillOutcome, type DrillResult } from "../drill/drill.ts";
import { abortOnSignals } from "../drill/signals.ts";
import { TECHNIQUES } from "../drill/techniques/all.ts";
import { printable } from "../responders/printable.ts";
import { table, type StyleKind, type Terminal } from "./terminal.ts";

export interface DrillCommandOptions {
  readonly json: boolean;
  readonly only?: readonly string[];
  readonly enforce?: boolean;
}

const SHOWN: Readonly<Record<DrillOutcome, readonly [StyleKind, string]>> = {
  stopped: ["ok", "■"],
  seen: ["ok", "✔"],
  missed: ["bad", "✘"],
  blind: ["bad", "✘"],
  refused: ["dim", "–"],
  "not-run": ["dim", "–"],
};

/** Runs the drill and prints it; the exit code. */
export async function drillCommand({ json, only, enforce }: DrillCommandOptions, output: Terminal): Promise<number> {
  const { signal, exitCode, release } = abortOnSignals();
  try {
    const { results } = await runDrill({
      signal,
      ...(only === undefined ? {} : { only }),
      ...(enforce === undefined ? {} : { enforce }),
      onProgress: (doing) => output.status(json ? "" : doing),
      onResult: (result) => {
        if (json) output.write(`${JSON.stringify(result)}\n`);
      },
    });
    output.status("");
    if (json) output.write(`${JSON.stringify({ summary: { latency: drillLatency(results) ?? null } })}\n`);
    else output.write(drillTable(results, output) + drillSummary(results, output));
    return drillExitCode(results);
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    output.status("");
    return exitCode();
  } finally {
    release();
  }
}

/** What there is to run, and what each does. */
export function drillList(json: boolean, output: Terminal): number {
  if (json)
    for (const { name, summary } of TECHNIQUES) output.write(`${JSON.stringify({ technique: name, summary })}\n`);
  else output.write(table(TECHNIQUES.map(({ name, summary }) => [output.style("bold", name), summary])));
  return 0;
}

/** One row per technique. */
export function drillTable(results: readonly DrillResult[], { style }: Terminal): string {
  const head = ["technique", "", "sensor", "after", "suspect", "leaked"].map((cell) => style("bold", cell));
  const rows = results.map((result) => {
    const { technique, outcome, sensor, leakedBytes } = result;
    const [kind, sign] = SHOWN[outcome];
    return [
      technique,
      style(kind, sign),
      sensor ?? "",
      after(result),
      suspectOf(result, style),
      outcome === "refused" || outcome === "not-run"
        ? ""
        : leakedBytes === 0
          ? "0"
          : style("high", `${leakedBytes} bytes`),
    ];
  });
  return table([head, ...rows]);
}

/** "14 of 18 techniques seen", and which were not, by reason. */
export function drillSummary(results: readonly DrillResult[], { style }: Terminal): string {
  const ran = results.filter(({ outcome }) => outcome !== "not-run" && outcome !== "refused");
  const seen = ran.filter(({ detected }) => detected);
  const stopped = ran.filter(({ outcome }) => outcome === "stopped");
  const enforced = ran.filter((result) => result.enforced === true);
  const stops = enforced.length === 0 ? "" : `, ${stopped.length} of ${enforced.length} stopped without a byte`;
  const lines = [style("bold", `${seen.length} of ${ran.length} techniques seen${stops}`)];
  const timed = drillLatency(results);
  if (timed !== undefined) {
    const { techniques, p50Ms, p99Ms } = timed;
    lines.push(
      `from the act to the finding: p50 ${latency(p50Ms)}, p99 ${latency(p99Ms)} over ${techniques} ${techniques === 1 ? "technique" : "techniques"}`,
    );
  }
  const escaped = enforced.filter(({ outcome }) => outcome !== "stopped").map(({ technique }) => technique);
  if (escaped.length > 0) lines.push(`${style("bad", "not stopped")}: ${escaped.join(", ")}`);
  const groups: readonly (readonly [DrillOutcome, StyleKind, string])[] = [
    ["missed", "bad", "missed"],
    ["blind", "high", "not seen"],
    ["refused", "dim", "not possible"],
    ["not-run", "dim", "not run"],
  ];
  for (const [outcome, kind, word] of groups) {
    const byReason = new Map<string, string[]>();
    for (const { technique, outcome: own, reason = "", needs } of results) {
      if (own !== outcome) continue;
      const why = needs === undefined ? reason : `no sensor sees them without ${needs}`;
      byReason.set(why, [...(byReason.get(why) ?? []), technique]);
    }
    for (const [reason, names] of byReason)
      lines.push(`${style(kind, word)}: ${names.join(", ")} (${printable(reason)})`);
  }
  return `\n${lines.join("\n")}\n`;
}

function suspectOf({ suspect, attributed, detected }: DrillResult, style: Terminal["style"]): string {
  if (suspect === null) return detected ? style("dim", "nobody can be named") : "";
  const name = `${printable(suspect.comm)} (${suspect.pid})`;
  return attributed === false ? style("bad", `${name}, wrong`) : name;
}

function after({ latencyMs, afterStartMs, afterActMs }: DrillResult): string {
  if (latencyMs !== null) return latency(latencyMs);
  if (afterActMs !== undefined) return `${latency(afterActMs)}, at the next look`;
  return afterStartMs === undefined ? "" : `${latency(afterStartMs)} after start`;
}

/** A time between an act and its finding. */
export function latency(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

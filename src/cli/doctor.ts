// rimon doctor: which sensor is live for which technique, what is blind without the others, and what to change.

import { advise, judgeCorePattern, type Advice, type Diagnosis } from "../drill/advice.ts";
import {
  diagnoseSensors,
  diagnoseTechniques,
  type DiagnosedSensor,
  type DiagnosedTechnique,
  type SensorHealth,
} from "../drill/diagnosis.ts";
import { runDrill } from "../drill/drill.ts";
import { gatherHostFacts, type HostFacts } from "../drill/host-facts.ts";
import { abortOnSignals } from "../drill/signals.ts";
import { TECHNIQUES } from "../drill/techniques/all.ts";
import { FORMAT_VERSION } from "../finding.ts";
import { printable } from "../responders/printable.ts";
import { PROGRAMS } from "../sensors/programs.ts";
import { VERSION } from "../package.ts";
import { latency } from "./drill.ts";
import { table, type StyleKind, type Terminal } from "./terminal.ts";

/**
 * What refuses is there to refuse: what it sees is seen without it too, so a kernel that does not let it is no fault of the
 * node. What is off until the configuration asks for it may be had or not.
 */
const OPTIONAL: readonly string[] = [PROGRAMS.access.sensor, "snapshots", "files", "file-events", "exec-gate"];

export interface DoctorCommandOptions {
  readonly json: boolean;
  readonly drill: boolean;
}

/** Exit code 0: every sensor but the refusing one and those that are asked for is attached and the drill missed nothing; 1: not so; 3: rimon cannot watch this machine. */
export async function doctorCommand({ json, drill }: DoctorCommandOptions, output: Terminal): Promise<number> {
  const host = gatherHostFacts();
  if (host.addon !== undefined) {
    const diagnosis: Diagnosis = { host, sensors: [], techniques: [] };
    output.write(json ? jsonReport(diagnosis) : textReport(diagnosis, output));
    return 3;
  }

  const { signal, exitCode, release } = abortOnSignals();
  try {
    const { results, sensors } = await runDrill({
      signal,
      ...(drill ? {} : { only: [] }),
      onProgress: (doing) => output.status(json ? "" : doing),
    });
    output.status("");
    const diagnosis: Diagnosis = {
      host,
      sensors: diagnoseSensors(sensors, TECHNIQUES, results, host.capabilities ?? []),
      techniques: diagnoseTechniques(sensors, TECHNIQUES, results),
    };
    output.write(json ? jsonReport(diagnosis) : textReport(diagnosis, output));
    const attached = diagnosis.sensors.every(({ name, health }) => health !== "unavailable" || OPTIONAL.includes(name));
    return attached && results.every(({ outcome }) => outcome !== "missed") ? 0 : 1;
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    output.status("");
    return exitCode();
  } finally {
    release();
  }
}

function jsonReport(diagnosis: Diagnosis): string {
  const { host, sensors, techniques } = diagnosis;
  const connector = sensors.find(({ name }) => name === "proc-connector");
  const report = {
    version: FORMAT_VERSION,
    rimon: VERSION,
    supported: host.addon === undefined,
    host: {
      ...host,
      corePatternJudgement: host.corePattern === undefined ? undefined : judgeCorePattern(host.corePattern).says,
      procConnector: connector === undefined ? undefined : connector.health !== "unavailable",
    },
    sensors,
    techniques,
    advice: advise(diagnosis),
  };
  return `${JSON.stringify(report)}\n`;
}

function textReport(diagnosis: Diagnosis, output: Terminal): string {
  const { host, sensors, techniques } = diagnosis;
  const advice = advise(diagnosis);
  const { style } = output;
  const sections = [
    `${style("bold", `rimon ${VERSION}`)}   ${host.platform} ${host.kernel}   ${host.arch}   node ${host.node}   ${userOf(host)}\n`,
    `${style("bold", "node")}\n${table(hostRows(host, advice, output))}`,
  ];
  if (sensors.length > 0) {
    sections.push(`${style("bold", "sensors")}\n${sensorTable(sensors, output)}`);
    sections.push(`${style("bold", "techniques, and what sees them")}\n${techniqueTable(techniques, output)}`);
  }
  const changes = advice.flatMap(({ severity, problem, change, gives }) => {
    const lines = (kind: StyleKind | undefined, text: string): string[][] =>
      wrapped(printable(text, 1_000), output.columns - 12).map((line) => [
        "",
        "",
        kind === undefined ? line : style(kind, line),
      ]);
    const [first = [], ...more] = lines(undefined, problem);
    return [
      ["", style(severity, severity.padEnd(8)), ...first.slice(2)],
      ...more,
      ...lines("bold", change),
      ...lines("dim", `gives: ${gives}`),
    ];
  });
  sections.push(`${style("bold", "to change")}\n${changes.length === 0 ? "  nothing\n" : table(changes)}`);
  return sections.join("\n");
}

function userOf({ uid, capabilities }: HostFacts): string {
  const user = uid === 0 ? "root" : uid === undefined ? "" : `uid ${uid}`;
  if (capabilities === undefined) return user;
  return `${user}, ${capabilities.length === 0 ? "no capabilities" : `${capabilities.length} capabilities`}`;
}

function hostRows(host: HostFacts, advice: readonly Advice[], { style }: Terminal): string[][] {
  if (host.platform !== "linux") return [["", "platform", `${host.platform} is not supported`]];
  const absent = "not there";
  const shown: readonly (readonly [about: keyof HostFacts, name: string, value: string])[] = [
    ["ptraceScope", "kernel.yama.ptrace_scope", String(host.ptraceScope ?? absent)],
    [
      "corePattern",
      "kernel.core_pattern",
      host.corePattern === undefined
        ? "cannot be read"
        : `"${host.corePattern}": ${judgeCorePattern(host.corePattern).says}`,
    ],
    ["suidDumpable", "fs.suid_dumpable", String(host.suidDumpable ?? absent)],
    ["fanotifyMaxQueuedEvents", "fs.fanotify.max_queued_events", String(host.fanotifyMaxQueuedEvents ?? absent)],
    ["hidepid", "hidepid of /proc", host.hidepid ?? "cannot be read"],
    ["lockdown", "lockdown", host.lockdown ?? absent],
    ["kptrRestrict", "kernel.kptr_restrict", String(host.kptrRestrict ?? absent)],
    ["unprivilegedBpfDisabled", "kernel.unprivileged_bpf_disabled", String(host.unprivilegedBpfDisabled ?? absent)],
    ["btf", "BTF (for eBPF)", host.btf === true ? "there" : absent],
    ["nodePids", "pid namespace", host.nodePids === false ? "not the node's" : "the node's"],
    ["nodeUsers", "user namespace", host.nodeUsers === false ? "not the node's" : "the node's"],
  ];
  return shown.map(([about, name, value]) => {
    const worst = advice.find((each) => each.about === about)?.severity;
    return ["", name, style(worst ?? "ok", printable(value))];
  });
}

const HEALTH: Readonly<Record<SensorHealth, StyleKind>> = {
  proven: "ok",
  "attached but not proven": "medium",
  unavailable: "bad",
  off: "dim",
};

function sensorTable(sensors: readonly DiagnosedSensor[], { style, columns }: Terminal): string {
  const taken = 6 + widest(sensors.map(({ name }) => name)) + widest(sensors.map(({ health }) => health));
  const rows = sensors.flatMap((sensor) => {
    const { name, health, reason, sees, missing, provenBy, blindWithout } = sensor;
    const gone = health === "unavailable" || health === "off";
    const told: readonly (readonly [StyleKind | undefined, string])[] = [
      [undefined, sees],
      [health === "unavailable" ? "high" : "medium", reason ?? ""],
      ["high", missing.length === 0 ? "" : `misses ${missing.map((each) => `CAP_${each.toUpperCase()}`).join(", ")}`],
      ["ok", provenBy.length === 0 ? "" : `saw ${provenBy.join(", ")}`],
      [
        gone ? "bad" : "dim",
        blindWithout.length === 0 ? "" : `${gone ? "blind for" : "without it blind for"} ${blindWithout.join(", ")}`,
      ],
    ];
    const lines = told.flatMap(([kind, text]) =>
      wrapped(printable(text), columns - taken).map((line) => (kind === undefined ? line : style(kind, line))),
    );
    return lines.map((line, index) =>
      index === 0 ? ["", name, style(HEALTH[health], health), line] : ["", "", "", line],
    );
  });
  return table(rows);
}

function techniqueTable(techniques: readonly DiagnosedTechnique[], { style, columns }: Terminal): string {
  const rungs = techniques.map(({ rung, outcome }) => rung ?? outcome);
  const taken = 18 + widest(techniques.map(({ technique }) => technique)) + widest(rungs);
  const rows = techniques.flatMap(({ technique, rung, outcome, latencyMs, reason, summary }) => {
    const blind = outcome === "blind" || outcome === "missed";
    const seenBy = rung === null ? style(blind ? "bad" : "dim", outcome) : style("ok", rung);
    const after = outcome === "unproven" ? style("dim", "not proven") : latencyMs === null ? "" : latency(latencyMs);
    const lines = wrapped(printable(reason ?? summary), columns - taken).map((line) => style("dim", line));
    return lines.map((line, index) => (index === 0 ? ["", technique, seenBy, after, line] : ["", "", "", "", line]));
  });
  return table(rows);
}

function widest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map(({ length }) => length));
}

/** Nothing for an empty text. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ").filter((each) => each !== "")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + word.length < Math.max(width, 30))
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

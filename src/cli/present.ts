// Findings, outcomes and the monitor's own state in words for a person. Whatever another process chose (names,
// arguments, paths) passes through printable().

import type { Actor, Finding, Outcome, Severity, Verdict } from "../finding.ts";
import { printable } from "../responders/printable.ts";
import type { ReadyRecord, Status } from "../rimon.ts";
import type { Terminal } from "./terminal.ts";

const INDENT = " ".repeat(14);

export function clock(time: string): string {
  const at = new Date(time);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** The banner: what is protected, what watches, where the evidence goes. */
export function presentReady(terminal: Terminal, ready: ReadyRecord, watchesFor: readonly string[]): string {
  const { style } = terminal;
  const lines = [
    `${style("bold", `rimon ${ready.rimon}`)}   ${ready.node}   Linux ${ready.kernel}   ${ready.uid === 0 ? "root" : `uid ${ready.uid}`}   ${ready.environment}   ${style(ready.mode === "off" ? "bad" : "ok", ready.mode === "off" ? "OFF: nothing is watched" : `mode ${ready.mode}`)}`,
    field("protects", protectedLine(ready)),
  ];
  if (watchesFor.length > 0) lines.push(field("watches for", wrap(watchesFor.join(", "), terminal.columns, 15)));
  const live = ready.sensors.filter(({ state }) => state === "live");
  if (ready.mode !== "off")
    lines.push(field("sensors", style("ok", live.map(({ name }) => name).join(", ") || "none")));
  for (const { name, state, reason, sees } of ready.sensors) {
    if (state === "live" || state === "off") continue;
    lines.push(
      field(
        "",
        `${style("bad", `${name} is ${state}`)}: ${printable(reason ?? "no reason was given")}; blind for ${sees}`,
      ),
    );
  }
  lines.push(field("audit", `${ready.audit.path}   ${style("dim", ready.audit.publicKey)}`));
  for (const weak of ready.weakened) lines.push(field("weakened", style("medium", printable(weak))));
  return `${lines.join("\n")}\n\n`;
}

function protectedLine({ protected: processes, pid }: Status): string {
  const groups = new Map<string, number[]>();
  for (const { comm, pid: each } of processes) {
    if (each !== pid) groups.set(comm, [...(groups.get(comm) ?? []), each]);
  }
  const named = [...groups].map(([comm, pids]) => {
    const [first, ...others] = pids;
    return `${printable(comm)} (${first}${others.length === 0 ? "" : ` and ${others.length} more`})`;
  });
  return [...named, "rimon itself"].join("   ");
}

function field(name: string, value: string): string {
  return `${name.padEnd(15)}${value}`;
}

function wrap(text: string, columns: number, indent: number): string {
  const width = Math.max(40, columns - indent);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length + 1 > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`);
}

/** What happened, by whom, and where to read on: in the audit log too, unless this finding was never `logged`. */
export function presentFinding(terminal: Terminal, finding: Finding, logged = true): string {
  const { style } = terminal;
  const lines = [
    `${clock(finding.time)}  ${style(finding.severity, finding.severity.toUpperCase().padEnd(8))}  ${style("bold", finding.rule.padEnd(17))}  ${printable(finding.message, 500)}`,
  ];
  const { suspect } = finding;
  if (suspect !== undefined) lines.push(`${INDENT}from      ${descent(suspect)}`);
  if (finding.tenants.length > 0)
    lines.push(`${INDENT}tenants   ${finding.tenants.map((id) => printable(id)).join(", ")}`);
  if (isWorthReading(finding.severity)) {
    const record = logged ? `     rimon audit show --finding ${finding.id}` : "";
    lines.push(style("dim", `${INDENT}next      rimon explain ${finding.rule}${record}`));
  }
  return `${lines.join("\n")}\n`;
}

function descent(actor: Actor): string {
  const parents = (actor.ancestry ?? []).slice(0, 4).toReversed();
  const chain = [...parents, actor].map(({ comm, pid }) => `${comm === "" ? "?" : printable(comm)} ${pid}`).join(" > ");
  const parts = [chain];
  if (actor.exe !== undefined) parts.push(printable(actor.exe));
  if (actor.cmdline !== undefined && actor.cmdline.length > 0) parts.push(printable(actor.cmdline.join(" "), 120));
  return parts.join("   ");
}

/** What was decided and is not going to be done. */
export function presentVerdict(terminal: Terminal, { finding, exception, actions, notes = [] }: Verdict): string {
  const { style } = terminal;
  const lines: string[] = [];
  if (exception !== undefined) lines.push(`${INDENT}excepted  ${printable(exception)}`);
  for (const { action, allowed, reason } of actions) {
    if (!allowed) lines.push(`${INDENT}not done  ${action}: ${printable(reason ?? "")}`);
  }
  for (const note of notes) lines.push(`${INDENT}note      ${printable(note)}`);
  if (lines.length === 0) return "";
  return style("dim", `${INDENT}${finding.rule}\n${lines.join("\n")}\n`);
}

export function presentOutcome(terminal: Terminal, outcome: Outcome, rule: string | undefined): string {
  const { style } = terminal;
  const kind = outcome.result === "done" ? "ok" : outcome.result === "failed" ? "bad" : "dim";
  const took = outcome.durationMs > 0 ? ` in ${outcome.durationMs} ms` : "";
  return `${clock(outcome.time)}  ${style(kind, outcome.result.padEnd(8))}  ${outcome.action.padEnd(17)}  ${printable(outcome.message)}${style("dim", `${took}${rule === undefined ? "" : `, for ${rule}`}`)}\n`;
}

/** The one line that moves while nothing happens. */
export function presentStatus(status: Status, since: number, now: number): string {
  const blind = status.sensors.filter(({ state }) => state !== "live" && state !== "off").length;
  return `watching, ${duration(now - since)}   ${status.protected.length} protected   ${status.sensors.length - blind} sensors live${blind === 0 ? "" : `, ${blind} not`}   ${status.counts.findings} findings   ${status.audit.waiting === 0 ? "audit synced" : `audit: ${status.audit.waiting} records wait`}`;
}

export function isWorthReading(severity: Severity): boolean {
  return severity !== "info" && severity !== "low";
}

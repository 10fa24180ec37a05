// The alert in the JSON that Falco's http_output sends, which falcosidekick and what stands behind it understand.

import type { HttpTarget } from "../../configuration.ts";
import type { Severity } from "../../finding.ts";
import { readAlert } from "../alert-view.ts";
import { exchange } from "../http-exchange.ts";
import type { Sink } from "./sink.ts";

const PRIORITY: Record<Severity, string> = {
  critical: "Critical",
  high: "Error",
  medium: "Warning",
  low: "Notice",
  info: "Informational",
};

export function falcosidekickSink(name: string, target: HttpTarget): Sink {
  return {
    name,
    async deliver(payload, signal) {
      await exchange(target, falcoJson(payload), signal);
    },
  };
}

/** An alert payload as a Falco event. */
export function falcoJson(payload: string): string {
  const alert = readAlert(payload);
  const { suspect, target } = alert;
  const event = {
    output: alert.summary ?? "",
    priority: PRIORITY[alert.severity ?? "info"] ?? PRIORITY.info,
    rule: alert.rule ?? "rimon",
    time: alert.time,
    source: "rimon",
    tags: ["rimon", alert.technique, alert.operation].filter((tag) => tag !== undefined),
    hostname: alert.node,
  };
  // What is undefined is left out by JSON.stringify.
  const fields = {
    "proc.pid": suspect?.pid,
    "proc.name": suspect?.comm,
    "proc.cmdline": suspect?.cmdline?.join(" "),
    "proc.exepath": suspect?.exe,
    "proc.ppid": suspect?.ancestry?.[0]?.pid,
    "user.uid": suspect?.uid,
    "rimon.id": alert.id,
    "rimon.severity": alert.severity,
    "rimon.technique": alert.technique,
    "rimon.operation": alert.operation,
    "rimon.count": alert.count,
    "rimon.tenants": alert.tenants?.join(","),
    "rimon.target.pid": target?.pid,
    "rimon.target.name": target?.comm,
    "rimon.target.exepath": target?.exe,
  };
  // Nanoseconds are beyond 2^53, so their digits are written by hand.
  const at = Date.parse(alert.time ?? "");
  const time = Number.isNaN(at) ? "" : `"evt.time":${BigInt(at) * 1_000_000n},`;
  return `${JSON.stringify(event).slice(0, -1)},"output_fields":{${time}${JSON.stringify(fields).slice(1)}}`.replace(
    /,\}\}$/,
    "}}",
  );
}

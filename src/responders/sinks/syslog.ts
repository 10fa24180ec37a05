// The alert as an RFC 5424 message: the sentence as its text, the facts as structured data. Over UDP one datagram each;
// over TCP with octet counting (RFC 6587). Neither protocol acknowledges: over UDP only a refused port is noticed, over
// TCP also a connection that breaks before the other side has closed it.

import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import type { SinkSettings } from "../../configuration.ts";
import { RimonError, reasonOf } from "../../errors.ts";
import type { Severity } from "../../finding.ts";
import { readAlert } from "../alert-view.ts";
import { printable } from "../printable.ts";
import type { Sink } from "./sink.ts";

type SyslogSettings = Extract<SinkSettings, { kind: "syslog" }>;

const SEVERITY: Record<Severity, number> = { critical: 2, high: 3, medium: 4, low: 5, info: 6 };

// rimon has no enterprise number of its own; 32473 is the one for documentation and the like (RFC 5612).
const SD_ID = "rimon@32473";

const TIMEOUT_MS = 10_000;
/** How long an ICMP "port unreachable" is waited for; there is no other answer. */
const REFUSAL_MS = 50;
/** How long the other side may take to close after it has read everything. */
const CLOSE_MS = 2_000;

export function syslogSink(name: string, settings: SyslogSettings): Sink {
  return {
    name,
    async deliver(payload, signal) {
      const message = syslogMessage(payload, settings.facility);
      const send = settings.transport === "udp" ? sendDatagram : sendCounted;
      try {
        await send(settings, message, signal);
      } catch (thrown) {
        throw new RimonError(
          "RIMON_ACTION",
          `syslog at ${settings.host}:${settings.port}/${settings.transport} did not take the alert: ${reasonOf(thrown)}`,
        );
      }
    },
  };
}

/** An alert payload as the bytes of one RFC 5424 message. */
export function syslogMessage(payload: string, facility: number): Buffer {
  const alert = readAlert(payload);
  const { suspect, target } = alert;
  const facts: [string, string | number | undefined][] = [
    ["id", alert.id],
    ["rule", alert.rule],
    ["severity", alert.severity],
    ["technique", alert.technique],
    ["operation", alert.operation],
    ["count", alert.count],
    ["tenants", alert.tenants?.join(",")],
    ["suspectPid", suspect?.pid],
    ["suspectComm", suspect?.comm],
    ["suspectExe", suspect?.exe],
    ["suspectUid", suspect?.uid],
    ["targetPid", target?.pid],
    ["targetComm", target?.comm],
  ];
  const parameters = facts
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${printable(String(value), 256).replace(/["\\\]]/g, "\\$&")}"`);
  const priority = facility * 8 + (SEVERITY[alert.severity ?? "info"] ?? SEVERITY.info);
  const head = [
    `<${priority}>1`,
    alert.time ?? "-",
    headField(alert.node, 255),
    "rimon",
    String(process.pid),
    headField(alert.rule, 32),
  ].join(" ");
  return Buffer.from(`${head} [${SD_ID}${parameters.join("")}] ${printable(alert.summary ?? "", 1000)}`, "utf8");
}

/** A field of the header: printable ASCII without spaces, "-" if there is nothing. */
function headField(text: string | undefined, maxLength: number): string {
  return (text ?? "").replace(/[^\x21-\x7e]+/g, "_").slice(0, maxLength) || "-";
}

function sendDatagram(settings: SyslogSettings, message: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(settings.host) ? "udp6" : "udp4");
    const timers: NodeJS.Timeout[] = [];
    let ended = false;
    const end = (error?: Error) => {
      if (ended) return;
      ended = true;
      timers.forEach(clearTimeout);
      signal.removeEventListener("abort", stop);
      socket.close();
      if (error) reject(error);
      else resolve();
    };
    const stop = () => end(new Error("it was stopped before"));
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    timers.push(setTimeout(() => end(new Error(`no answer to the name in ${TIMEOUT_MS} ms`)), TIMEOUT_MS));
    socket.on("error", end);
    // Only a connected socket is told of a refused port.
    socket.connect(settings.port, settings.host, () => {
      socket.send(message, (error) => {
        if (error) end(error);
        else timers.push(setTimeout(end, REFUSAL_MS));
      });
    });
  });
}

function sendCounted(settings: SyslogSettings, message: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: settings.host, port: settings.port });
    const timers: NodeJS.Timeout[] = [];
    const end = (error?: Error) => {
      timers.forEach(clearTimeout);
      signal.removeEventListener("abort", stop);
      socket.destroy();
      if (error) reject(error);
      else resolve();
    };
    const stop = () => end(new Error("it was stopped before"));
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    timers.push(setTimeout(() => end(new Error(`it took longer than ${TIMEOUT_MS} ms`)), TIMEOUT_MS));
    socket.on("error", end);
    // Whatever the other side says is read away, or its end would never be seen.
    socket.resume();
    socket.on("close", () => end());
    socket.on("finish", () => timers.push(setTimeout(end, CLOSE_MS)));
    socket.end(Buffer.concat([Buffer.from(`${message.length} `), message]));
  });
}

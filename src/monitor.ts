// The library's face of the monitor: a configuration object in, findings out.

import { hostname } from "node:os";
import type { Configuration } from "./configuration.ts";
import { DETECTORS } from "./detectors/all.ts";
import { RimonError } from "./errors.ts";
import type { Finding, Outcome, Verdict } from "./finding.ts";
import type { Observation } from "./observation.ts";
import { parseConfiguration } from "./policy/config.ts";
import { startMonitor, type RunningMonitor, type Status } from "./rimon.ts";

/** Findings that nobody has taken yet; the oldest go first when there are more. */
const MAX_UNREAD = 10_000;

export interface CreateMonitorOptions {
  /** What a configuration file would say, as an object of the same shape (`rimon config schema`). */
  readonly configuration?: Readonly<Record<string, unknown>>;
  /** Where the audit log, its key, captures and the spool go, unless the configuration says otherwise. */
  readonly stateDirectory: string;
  /** Stops the monitor when it is aborted. */
  readonly signal?: AbortSignal;
  readonly onVerdict?: (verdict: Verdict) => void;
  readonly onOutcome?: (outcome: Outcome) => void;
  readonly onObservation?: (observation: Observation) => void;
}

export interface Monitor {
  /** The effective configuration. */
  readonly configuration: Configuration;
  status(): Status;
  /** Every finding from the start on; ends when the monitor has stopped. One reader at a time. */
  findings(): AsyncIterableIterator<Finding>;
  /** Findings dropped because they were not read in time; the audit log has them. */
  readonly unread: number;
  /** Resolves when everything is flushed and nothing is left attached. */
  stop(): Promise<void>;
}

/**
 * Starts a monitor in this process; resolves when its sensors are attached.
 * Throws RimonError: RIMON_CONFIG, RIMON_AUDIT, RIMON_NATIVE or, on another operating system, RIMON_UNSUPPORTED.
 */
export async function createMonitor(options: CreateMonitorOptions): Promise<Monitor> {
  const isAborted = (): boolean => options.signal?.aborted ?? false;
  if (isAborted()) throw new RimonError("RIMON_USAGE", "the signal was aborted before the monitor started");
  const { configuration, weakened } = parseConfiguration(JSON.stringify(options.configuration ?? {}), {
    file: "configuration",
    rules: DETECTORS.map(({ rule }) => rule),
    severities: Object.fromEntries(DETECTORS.map(({ rule, severity }) => [rule, severity])),
    hostname: hostname(),
    stateDirectory: options.stateDirectory,
    now: Date.now(),
  });

  const waiting: Finding[] = [];
  let unread = 0;
  let ended = false;
  let wake = (): void => {};

  function keep(finding: Finding): void {
    waiting.push(finding);
    if (waiting.length > MAX_UNREAD) {
      waiting.shift();
      unread++;
    }
    wake();
  }

  const running: RunningMonitor = await startMonitor({
    configuration,
    weakened,
    onRecord(record) {
      if (record.type === "finding") keep(record);
      else if (record.type === "verdict") options.onVerdict?.(record);
      else if (record.type === "outcome") options.onOutcome?.(record);
    },
    ...(options.onObservation === undefined ? {} : { onObservation: options.onObservation }),
  });

  let stopping: Promise<void> | undefined;
  function stop(): Promise<void> {
    stopping ??= running.stop().finally(() => {
      ended = true;
      wake();
    });
    return stopping;
  }
  options.signal?.addEventListener("abort", () => void stop(), { once: true });
  // It may have been aborted while the sensors were being attached.
  if (isAborted()) await stop();

  async function* findings(): AsyncIterableIterator<Finding> {
    for (;;) {
      const finding = waiting.shift();
      if (finding !== undefined) yield finding;
      else if (ended) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }

  return {
    configuration,
    status: running.status,
    findings,
    get unread() {
      return unread;
    },
    stop,
  };
}

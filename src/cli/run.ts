// `rimon run`: the monitor in the foreground.

import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { reasonOf } from "../errors.ts";
import type { Finding } from "../finding.ts";
import { KNOWN_HOLDERS } from "../known-holders.ts";
import { requireAddon } from "../native.ts";
import { startMonitor, type MonitorRecord, type RunningMonitor } from "../rimon.ts";
import { presentFinding, presentOutcome, presentReady, presentStatus, presentVerdict } from "./present.ts";
import { confine, lackingFor, NO_INSPECTOR_SIGNAL } from "./privileges.ts";
import { openRecorder, type Recorder } from "./recorder.ts";
import { loadSetup, type Overrides, type Setup } from "./setup.ts";
import { watchStandardOutput } from "./standard-output.ts";
import type { Terminal } from "./terminal.ts";

export interface RunOptions extends Overrides {
  readonly json: boolean;
  readonly record?: string;
}

const STATUS_EVERY_MS = 1_000;
const MAX_RULES_REMEMBERED = 1_000;
/** Signal n is bit n - 1. */
const SIGUSR1_PENDING = 1n << BigInt(constants.signals.SIGUSR1 - 1);

/** Runs until SIGTERM or SIGINT; resolves with the exit code when everything is flushed. */
export async function runCommand(options: RunOptions, terminal: Terminal): Promise<number> {
  const setup = await loadSetup(options);
  // Before a file is made: without it nothing can be recorded.
  const { addon } = requireAddon();
  await confine(setup.file);
  const startedAt = Date.now();
  const recorder = options.record === undefined ? undefined : openRecorder(options.record, setup.configuration.node);
  const rules = new Map<string, string>();
  let readerGone = (): void => {};
  // Whoever read our output is gone: stop as if asked to, with everything flushed to the audit log.
  const output = watchStandardOutput(process.stdout, terminal, () => readerGone());
  const onRecord = options.json ? (record: MonitorRecord) => output.write(`${JSON.stringify(record)}\n`) : present;

  function present(record: MonitorRecord): void {
    switch (record.type) {
      case "ready":
        return output.write(
          presentReady(
            terminal,
            record,
            setup.configuration.protect.length > 0 ? [] : watchesFor(record.protected.map(({ by }) => by)),
          ),
        );
      case "finding":
        remember(record);
        return output.write(presentFinding(terminal, record));
      case "verdict":
        return output.write(presentVerdict(terminal, record));
      case "outcome":
        // Nobody configured to be alerted is said once, at the start, not after each finding.
        if (record.action === "alert" && record.result === "skipped") return;
        return output.write(presentOutcome(terminal, record, rules.get(record.finding)));
    }
  }

  function remember({ id, rule }: Finding): void {
    rules.set(id, rule);
    for (const oldest of rules.keys()) {
      if (rules.size <= MAX_RULES_REMEMBERED) break;
      rules.delete(oldest);
    }
  }

  // Before the monitor runs: SIGHUP would end it, and SIGUSR1 opens Node's inspector on whoever has no handler for it.
  let monitor: RunningMonitor | undefined;
  let reloading: Promise<void> = Promise.resolve();
  let reloadDue = false;
  function reloadNow(): void {
    if (monitor === undefined) {
      reloadDue = true;
      return;
    }
    const running = monitor;
    reloading = reloading.then(() => reload(running, options, setup, terminal));
  }
  process.on("SIGHUP", reloadNow);
  const tellInspectorSignal = (): void =>
    monitor?.trouble("inspector", "somebody sent rimon SIGUSR1, which would open Node's inspector; it was ignored");
  process.on("SIGUSR1", tellInspectorSignal);
  let inspectorSignalTold = false;
  const ended = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
    readerGone = resolve;
  });

  monitor = await startMonitor({
    configuration: setup.configuration,
    weakened: setup.weakened,
    ...(setup.file === undefined ? {} : { configurationFile: setup.file }),
    onRecord,
    ...(recorder === undefined ? {} : { onObservation: recorder.write }),
  });
  const running = monitor;
  addon.giveBack();
  if (!options.json && setup.configuration.alerts.clusterAdmins.length === 0) {
    terminal.write(
      terminal.style("dim", "no alert sink is configured: findings are shown here and kept in the audit log\n\n"),
    );
  }
  if (reloadDue) reloadNow();
  const status = setInterval(() => {
    if (!inspectorSignalTold && inspectorSignalBlocked()) {
      inspectorSignalTold = true;
      tellInspectorSignal();
    }
    output.check((message, recovered) => running.trouble("output", message, recovered));
    if (!options.json) terminal.status(presentStatus(running.status(), startedAt, Date.now()));
  }, STATUS_EVERY_MS);

  await ended;
  clearInterval(status);
  terminal.status("");
  process.removeListener("SIGHUP", reloadNow);
  process.on("SIGHUP", () => {}); // too late for it, and it must not end us either
  await reloading;
  await running.stop();
  if (recorder !== undefined && !closed(recorder)) return 1;
  return 0;
}

/** Says on standard error what is not in the recording: the monitor is gone. */
function closed(recorder: Recorder): boolean {
  try {
    recorder.close();
    return true;
  } catch (thrown) {
    process.stderr.write(`rimon: ${reasonOf(thrown)}\n`);
    return false;
  }
}

/** The well-known holders of keys that are not on the node now, and will be protected when they come. */
function watchesFor(found: readonly string[]): string[] {
  return [...new Set(KNOWN_HOLDERS.map(({ name }) => name))].filter((name) => !found.includes(name));
}

/** A bad new file leaves the old configuration running and says so. */
async function reload(monitor: RunningMonitor, options: RunOptions, setup: Setup, terminal: Terminal): Promise<void> {
  const say = (text: string): void =>
    void (options.json ? process.stderr.write(`${text}\n`) : terminal.write(`${text}\n`));
  try {
    const next = await loadSetup(options);
    await monitor.reload(next.configuration, next.weakened);
    const { path, keyFile } = setup.configuration.audit;
    const moved = next.configuration.audit.path !== path || next.configuration.audit.keyFile !== keyFile;
    const notes = [
      ...(moved ? ["the audit log stays where it is until rimon is started anew"] : []),
      ...lackingFor(next.configuration, setup.configuration),
    ];
    say([`configuration reloaded from ${next.file ?? "the defaults"}`, ...notes].join("; "));
  } catch (thrown) {
    say(`configuration not reloaded, the old one stays in force: ${reasonOf(thrown)}`);
  }
}

/** Without an inspector to open, Node blocks SIGUSR1: no handler hears it, and it stays pending for good. */
function inspectorSignalBlocked(): boolean {
  if (!process.execArgv.includes(NO_INSPECTOR_SIGNAL)) return false;
  const pending = /^ShdPnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return (BigInt(`0x${pending}`) & SIGUSR1_PENDING) !== 0n;
}

// `rimon snapshot take|check|watch`: isolation structures as they are, and as they were when all was well.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { MAX_ENVELOPE_BYTES } from "../baselines/dsse.ts";
import {
  ISOLATION_BASELINE,
  isolationEntries,
  isolationStatement,
  type IsolationEntry,
} from "../baselines/isolation-baseline.ts";
import { checkHeader, openSealed, SealProblem } from "../baselines/seal.ts";
import { sayChange, type Anomaly } from "../baselines/snapshot.ts";
import { parseStatement, statementBytes, type BaselineHeader } from "../baselines/statement.ts";
import { SUBSYSTEMS } from "../baselines/all.ts";
import { RimonError, reasonOf } from "../errors.ts";
import { FORMAT_VERSION } from "../finding.ts";
import { check, createDue, procfs, snapshot } from "../isolation.ts";
import { headerNow, machineOf } from "../machine.ts";
import { printable } from "../responders/printable.ts";
import { writerOf } from "../store/audit-lock.ts";
import { replaceFile } from "../store/durable.ts";
import { isEnvelope, pinnedKeys, readUpTo } from "./baseline-files.ts";
import { clock } from "./present.ts";
import { loadSetup, type Overrides } from "./setup.ts";
import { table, type Terminal } from "./terminal.ts";

const KERNEL = "kernel";

export interface TakeOptions extends Overrides {
  readonly json: boolean;
  readonly pid?: readonly number[];
  readonly allProtected?: boolean;
  readonly subsystem?: readonly string[];
  readonly expiresDays?: number;
  readonly out?: string;
}

export interface CheckOptions {
  readonly json: boolean;
  readonly publicKey?: readonly string[];
  readonly threshold?: number;
}

/** Writes a baseline of the kernel and of the processes named; the exit code is 0. */
export async function snapshotTakeCommand(options: TakeOptions, terminal: Terminal): Promise<number> {
  const names = options.subsystem;
  const unknown = names?.find((name) => !SUBSYSTEMS.some((each) => each.name === name));
  if (unknown !== undefined)
    throw new RimonError(
      "RIMON_USAGE",
      `there is no subsystem "${unknown}"; expected one of ${SUBSYSTEMS.map(({ name }) => name).join(", ")}`,
    );
  const wanted = SUBSYSTEMS.filter(({ name, onRequest }) => names?.includes(name) ?? onRequest !== true);
  const named = (of: "process" | "kernel"): string[] => wanted.filter((each) => each.of === of).map(({ name }) => name);
  const pids = [
    ...(options.pid ?? []),
    ...(options.allProtected === true ? await protectedPids(options, terminal) : []),
  ];
  const entries: IsolationEntry[] = [];
  if (named("kernel").length > 0)
    entries.push({
      name: KERNEL,
      snapshot: snapshot(kernelOnly(procfs.live("self", await monitorPid(options))), { subsystems: named("kernel") }),
    });
  for (const pid of new Set(pids)) {
    const taken = snapshot(procfs.live(pid), { subsystems: named("process") });
    if (taken.process === undefined)
      throw new RimonError("RIMON_USAGE", `there is no process ${pid}; expected the pid of one that runs`);
    if (named("process").length > 0) entries.push({ name: `${commOf(pid)} (${pid})`, snapshot: taken });
  }
  if (entries.length === 0)
    throw new RimonError(
      "RIMON_USAGE",
      "there is nothing to take a snapshot of: the subsystems named are of processes, and no process is; give --pid or --all-protected",
    );
  const statement = isolationStatement(headerNow(options.expiresDays), entries);
  const text = `${statementBytes(statement).toString()}\n`;
  if (options.out === undefined) terminal.write(text);
  else {
    await replaceFile(options.out, text, 0o600).catch((thrown: unknown) => {
      throw new RimonError("RIMON_USAGE", `${options.out} cannot be written: ${reasonOf(thrown)}`, { cause: thrown });
    });
    tellTaken(options.out, entries, options.json, terminal);
  }
  return 0;
}

/** Exit code 1 if something is not as it was, or the baseline is not to be trusted. */
export async function snapshotCheckCommand(file: string, options: CheckOptions, terminal: Terminal): Promise<number> {
  const baseline = await open(file, options);
  if (baseline instanceof SealProblem) return refuse(file, baseline, options.json, terminal);
  const found = checkAll(baseline.entries, await monitorPid({}));
  if (options.json) for (const each of found) terminal.write(`${JSON.stringify(recordOf(each, Date.now()))}\n`);
  else {
    tellBaseline(file, baseline, terminal);
    for (const each of found) tell(each, terminal);
    const bad = found.filter((each) => !each.ok).length;
    const { style } = terminal;
    terminal.write(
      bad === 0 ? style("ok", "all as it was\n") : style("bad", `${bad} of ${found.length} not as they were\n`),
    );
  }
  return found.every(({ ok }) => ok) ? 0 : 1;
}

/** Until a signal; the exit code is 1 if there was an anomaly, also if it has gone since. */
export async function snapshotWatchCommand(
  file: string,
  options: CheckOptions & { readonly intervalMs: number },
  terminal: Terminal,
): Promise<number> {
  const baseline = await open(file, options);
  if (baseline instanceof SealProblem) return refuse(file, baseline, options.json, terminal);
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
  if (!options.json) tellBaseline(file, baseline, terminal);
  const told = new Map<string, string>();
  const dues = new Map(baseline.entries.map((each) => [each.name, createDue(Object.keys(each.snapshot.subsystems))]));
  let found: readonly Found[] = [];
  let checks = 0;
  let anomalous = false;
  while (!stopping.signal.aborted) {
    found = checkAll(baseline.entries, await monitorPid({}), {
      before: found,
      due: (name) => dues.get(name)?.(performance.now()) ?? [],
    });
    for (const each of found) {
      const says = JSON.stringify(each.ok ? [] : [each.ended, each.anomalies?.map(({ message }) => message)]);
      if (!each.ok) anomalous = true;
      // What was told is told again when it is another, or gone.
      if ((told.get(each.name) ?? "[]") === says) continue;
      told.set(each.name, says);
      if (options.json) terminal.write(`${JSON.stringify(recordOf(each, Date.now()))}\n`);
      else tell(each, terminal);
    }
    checks++;
    if (!options.json)
      terminal.status(
        `watching ${baseline.entries.length}, ${checks} checks, one every ${options.intervalMs / 1_000} s`,
      );
    await sleep(options.intervalMs, undefined, { signal: stopping.signal }).catch(() => {});
  }
  terminal.status("");
  return anomalous ? 1 : 0;
}

interface Baseline {
  readonly header: BaselineHeader;
  readonly entries: readonly IsolationEntry[];
  /** Undefined: it is not sealed. */
  readonly keyIds?: readonly string[];
}

async function open(file: string, { publicKey = [], threshold = 1 }: CheckOptions): Promise<Baseline | SealProblem> {
  const { bytes } = await readUpTo(MAX_ENVELOPE_BYTES, file);
  const keys = await pinnedKeys(publicKey);
  const expected = { predicateType: ISOLATION_BASELINE, now: Date.now(), machineId: machineOf().id };
  try {
    if (keys.length > 0) {
      const opened = openSealed(bytes, { keys, threshold, ...expected });
      return { header: opened.header, entries: isolationEntries(opened.statement), keyIds: opened.keyIds };
    }
    if (isEnvelope(bytes))
      throw new RimonError("RIMON_USAGE", `${file} is sealed: name the keys that may have signed it with --public-key`);
    const statement = parseStatement(bytes);
    return { header: checkHeader(statement, expected), entries: isolationEntries(statement) };
  } catch (thrown) {
    if (thrown instanceof SealProblem) return thrown;
    throw thrown;
  }
}

interface Found {
  readonly name: string;
  readonly ok: boolean;
  /** The process has ended since, or the node was started anew. */
  readonly ended?: string;
  readonly anomalies?: readonly Anomaly[];
}

/** All there is, or what is due; what is not is as it was found before. */
function checkAll(
  entries: readonly IsolationEntry[],
  monitor: number | undefined,
  watching?: { readonly before: readonly Found[]; readonly due: (name: string) => readonly string[] },
): readonly Found[] {
  return entries.map(({ name, snapshot: baseline }) => {
    const source = procfs.live(baseline.process?.pid, monitor);
    const now = source.identity?.();
    if (
      baseline.process !== undefined &&
      (now?.boot !== baseline.boot || now?.process?.startTime !== baseline.process.startTime)
    )
      return {
        name,
        ok: false,
        ended: now?.boot === baseline.boot ? "it has ended since" : "the node was started anew since",
      };
    const subsystems = watching?.due(name) ?? Object.keys(baseline.subsystems);
    const checked = check(baseline, baseline.process === undefined ? kernelOnly(source) : source, { subsystems });
    const before = watching?.before.find((each) => each.name === name)?.anomalies ?? [];
    const anomalies = [
      ...(checked.ok ? [] : checked.anomalies),
      ...before.filter(({ subsystem }) => !subsystems.includes(subsystem)),
    ];
    return anomalies.length === 0 ? { name, ok: true } : { name, ok: false, anomalies };
  });
}

function kernelOnly(source: ReturnType<typeof procfs.live>): ReturnType<typeof procfs.live> {
  const { read } = source;
  return {
    read,
    identity: () => {
      const boot = source.identity?.().boot;
      return boot === undefined ? {} : { boot };
    },
  };
}

function recordOf({ name, ok, ended, anomalies = [] }: Found, at: number): object {
  return {
    type: "snapshot",
    version: FORMAT_VERSION,
    time: new Date(at).toISOString(),
    of: name,
    ok,
    ...(ended === undefined ? {} : { ended }),
    anomalies,
  };
}

function tell({ name, ok, ended, anomalies = [] }: Found, { style, write }: Terminal): void {
  const at = clock(new Date().toISOString());
  const state = ok ? style("ok", "as it was") : style("bad", ended === undefined ? "CHANGED" : "gone");
  write(
    `${at}  ${printable(name).padEnd(24)}  ${state}${ended === undefined ? "" : `: ${ended}; take a new baseline`}\n`,
  );
  for (const { subsystem, kind, changes, message } of anomalies) {
    if (kind !== "changed")
      write(`${" ".repeat(14)}${style("bold", subsystem.padEnd(14))}  ${printable(message, 300)}\n`);
    for (const change of changes) {
      const kindOf = change.impossible === undefined && change.verdict === undefined ? "high" : "critical";
      write(
        `${" ".repeat(14)}${style("bold", subsystem.padEnd(14))}  ${style(kindOf, printable(sayChange(change), 500))}\n`,
      );
    }
  }
}

function tellBaseline(file: string, { header, keyIds }: Baseline, { style, write }: Terminal): void {
  const sealed =
    keyIds === undefined
      ? style("medium", "not sealed")
      : style("ok", `sealed by ${keyIds.map((id) => id.slice(0, 16)).join(", ")}`);
  write(`${style("bold", file)}   taken ${header.createdAt} on ${printable(header.machine.node)}, ${sealed}\n`);
}

function tellTaken(out: string, entries: readonly IsolationEntry[], json: boolean, { style, write }: Terminal): void {
  const rows = entries.map(({ name, snapshot: { subsystems } }) => {
    const views = Object.entries(subsystems);
    const blind = views.filter(([, view]) => view.facts === undefined);
    return { name, seen: views.length - blind.length, blind };
  });
  if (json) {
    const of = rows.map(({ name, seen, blind }) => ({
      name,
      subsystems: seen,
      blind: blind.map(([subsystem, { malformed, unread }]) => ({ subsystem, malformed, unread })),
    }));
    return write(`${JSON.stringify({ type: "snapshot-taken", version: FORMAT_VERSION, file: out, of })}\n`);
  }
  write(
    table(
      rows.map(({ name, seen, blind }) => [
        printable(name),
        `${seen} subsystems`,
        blind.length === 0
          ? ""
          : style(
              "medium",
              `not ${blind.map(([each, view]) => `${each} (${view.malformed ?? `${view.unread?.join(", ")} cannot be read`})`).join(", ")}`,
            ),
      ]),
    ),
  );
  write(
    `${style("bold", out)} is a baseline, not sealed yet. To seal it, on the machine that has the key: rimon seal sign ${printable(out)} --key KEY\n`,
  );
}

function refuse(file: string, problem: SealProblem, json: boolean, { style, write }: Terminal): number {
  write(
    json
      ? `${JSON.stringify({ type: "snapshot-refused", version: FORMAT_VERSION, file, code: problem.code, message: problem.message })}\n`
      : `${style("bad", `REFUSED (${problem.code})`)}  ${printable(file)}: ${printable(problem.message, 500)}\n`,
  );
  return 1;
}

/** Of the rimon that runs here: what it loads into the kernel is there while it runs. */
async function monitorPid(options: Overrides): Promise<number | undefined> {
  try {
    return await writerOf((await loadSetup(options)).configuration.audit.path);
  } catch {
    // A baseline is taken and checked by hand also where no configuration can be used.
    return undefined;
  }
}

async function protectedPids(options: TakeOptions, terminal: Terminal): Promise<number[]> {
  const { survey } = await import("../survey.ts");
  const { configuration } = await loadSetup(options);
  const { state } = await survey(configuration, (step) => terminal.status(`looking at ${step} ...`));
  terminal.status("");
  const pids = [...state.protectedProcesses()].map(({ process: { pid } }) => pid).filter((pid) => pid !== process.pid);
  if (pids.length === 0)
    throw new RimonError(
      "RIMON_USAGE",
      "no process is protected here; rimon scan says which are, protect in the configuration which shall be",
    );
  return pids;
}

function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trimEnd();
  } catch {
    return "?";
  }
}

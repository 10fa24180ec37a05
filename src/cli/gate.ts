// `rimon gate status|try|learn`: what the exec gate does here, what it would do, and what it is to know.

import { userInfo } from "node:os";
import { isAbsolute, resolve } from "node:path";
import { executablesStatement } from "../baselines/executables.ts";
import { MAX_ENVELOPE_BYTES } from "../baselines/dsse.ts";
import { statementBytes } from "../baselines/statement.ts";
import type { GateSettings } from "../configuration.ts";
import { RimonError, reasonOf } from "../errors.ts";
import { executablesBelow, loadGate } from "../exec-gate.ts";
import { FORMAT_VERSION } from "../finding.ts";
import { headerNow } from "../machine.ts";
import { requireFilesAddon } from "../native.ts";
import { decodeRecords } from "../records.ts";
import { printable } from "../responders/printable.ts";
import { readGateState, type GateState } from "../sensors/exec-gate.ts";
import { replaceFile } from "../store/durable.ts";
import { clock } from "./present.ts";
import { loadSetup, type Overrides } from "./setup.ts";
import { table, type Terminal } from "./terminal.ts";

const MAX_UNLEARNED_SHOWN = 10;
const MAX_SHOWN = 32;
/** It is kept every five seconds. */
const STALE_MS = 15_000;

interface Output extends Pick<Overrides, "config"> {
  readonly json: boolean;
}

async function settingsOf(options: Output): Promise<{ gate: GateSettings; file: string }> {
  const { configuration, file = "the configuration" } = await loadSetup(options);
  if (configuration.gate !== undefined) return { gate: configuration.gate, file };
  throw new RimonError(
    "RIMON_CONFIG",
    `${file} has no exec gate: add gate with the mounts that are to be checked, such as gate: { mounts: [{ path: /srv/tools }] }, where a file system is mounted at /srv/tools`,
  );
}

/** Exit code 1 if nothing is checked now. */
export async function gateStatusCommand(options: Output, terminal: Terminal): Promise<number> {
  const { gate, file } = await settingsOf(options);
  const state = readGateState(gate.stateFile);
  const running = state !== undefined && !state.orderly && isAlive(state);
  if (options.json) {
    terminal.write(
      `${JSON.stringify({ type: "gate-status", version: FORMAT_VERSION, file, running, asked: gate.mounts, ...(state === undefined ? {} : { state }) })}\n`,
    );
    return running ? 0 : 1;
  }
  const { style, write } = terminal;
  if (!running)
    write(
      `${style("bad", "NOT CHECKED")}  ${state === undefined ? "no rimon has run with this gate" : `rimon ${state.orderly ? "was stopped" : "ended"} at ${clock(new Date(state.aliveAt).toISOString())}`}: everything runs\n`,
    );
  const marks = running ? state.marks : [];
  write(
    table(
      gate.mounts.map(({ path, mode, opens, below }) => [
        printable(path),
        mode,
        `${opens ? "executed and opened" : "executed"}${below ? ", and what is mounted below" : ""}`,
        marks.some((each) => each.path === path) ? style("ok", "checked") : style("bad", "not checked"),
      ]),
    ),
  );
  if (running) {
    tellMarks(state, terminal);
    tellCounts(state, terminal);
  }
  return running ? 0 : 1;
}

/** Each file system that is checked, once, wherever it is mounted. */
function tellMarks({ marks, unchecked = [] }: GateState, { style, write }: Terminal): void {
  write(`${marks.length} ${marks.length === 1 ? "file system is" : "file systems are"} checked:\n`);
  write(
    table(
      marks
        .slice(0, MAX_SHOWN)
        .map(({ path, mode, device = "", type = "", namespace = 0 }) => [
          `  ${device}`,
          printable(type),
          printable(path),
          mode,
          namespace === 0 ? "" : `mount namespace ${namespace}`,
        ]),
    ),
  );
  if (marks.length > MAX_SHOWN) write(`  and ${marks.length - MAX_SHOWN} more (--json has them)\n`);
  for (const each of unchecked.slice(0, MAX_SHOWN)) write(`${style("medium", "not checked")}  ${printable(each)}\n`);
}

function tellCounts({ counts, status, upgrade, aliveAt }: GateState, { style, write }: Terminal): void {
  if (counts !== undefined)
    write(`known: ${counts.baseline} in baselines, ${counts.packages} of packages; denied: ${counts.denied}\n`);
  if (upgrade) write(style("medium", "an upgrade is declared: what the package manager starts runs\n"));
  if (status === undefined) return;
  write(`counted until ${clock(new Date(aliveAt).toISOString())}:\n`);
  const { allowed, denied, wouldDeny, unanswered, unopened, spared, hashed, settled, queued, overflows, lost, longestNs } = status; // prettier-ignore
  write(
    table([
      ["allowed", String(allowed), "", "read", String(hashed)],
      ["denied", String(denied), "", "left to the kernel", String(settled)],
      ["would be denied", String(wouldDeny), "", "waiting now", String(queued)],
      ["not judged", String(unanswered), "", "longest answer", `${(longestNs / 1e6).toFixed(1)} ms`],
      ["refused by the kernel", String(unopened), "", "lost", String(overflows + lost)],
      ["spared", String(spared), "", "", ""],
    ]),
  );
}

function isAlive({ pid, aliveAt }: GateState): boolean {
  if (Date.now() - aliveAt > STALE_MS) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

export interface TryOptions extends Output {
  readonly uid?: number;
  readonly by?: string;
}

/** Exit code 1 if it would not run. */
export async function gateTryCommand(file: string, options: TryOptions, terminal: Terminal): Promise<number> {
  const { gate } = await settingsOf(options);
  const addon = requireFilesAddon();
  const { table: bytes } = await loadGate(gate, Date.now(), { only: resolve(file) });
  try {
    const [record] = decodeRecords(
      addon.gateTry(bytes, resolve(file), options.uid ?? userInfo().uid, options.by ?? ""),
    );
    if (record?.kind !== "gate") throw new RimonError("RIMON_NATIVE", "the addon did not answer; run: npm run build");
    const { denied, rule, reason, sha256, path } = record;
    const named = rule === undefined ? undefined : (gate.rules[rule]?.name ?? String(rule + 1));
    const why =
      reason !== "rule"
        ? reason
        : named === undefined
          ? `no rule matches, and otherwise is ${gate.otherwise}`
          : `rule ${named}`;
    if (options.json)
      terminal.write(
        `${JSON.stringify({ type: "gate-try", version: FORMAT_VERSION, file: path, denied, reason, ...(named === undefined ? {} : { rule: named }), ...(sha256 === undefined ? {} : { sha256 }) })}\n`,
      );
    else
      terminal.write(
        `${terminal.style(denied ? "bad" : "ok", denied ? "denied" : "allowed")}  ${printable(path)}: ${printable(why)}${sha256 === undefined ? "" : `, sha256 ${sha256}`}\n`,
      );
    return denied ? 1 : 0;
  } catch (thrown) {
    if (thrown instanceof RimonError) throw thrown;
    throw new RimonError("RIMON_USAGE", `rimon cannot ${reasonOf(thrown)}; a file that can be executed was expected`, {
      cause: thrown,
    });
  }
}

export interface LearnOptions {
  readonly json: boolean;
  readonly out?: string;
  readonly expiresDays?: number;
}

/** Exit code 1 if something could not be read. */
export async function gateLearnCommand(
  paths: readonly string[],
  options: LearnOptions,
  terminal: Terminal,
): Promise<number> {
  const relative = paths.find((path) => !isAbsolute(path));
  if (relative !== undefined) throw new RimonError("RIMON_USAGE", `expected absolute paths, got "${relative}"`);
  let shownAt = 0;
  const { executables, unlearned } = await executablesBelow(paths, (found) => {
    if (Date.now() - shownAt < 200) return;
    shownAt = Date.now();
    terminal.status(`${found} executables ...`);
  });
  terminal.status("");
  if (executables.length === 0)
    throw new RimonError("RIMON_USAGE", `there is no executable file below ${paths.join(", ")}`);
  const text = `${statementBytes(executablesStatement(headerNow(options.expiresDays), paths, executables)).toString()}\n`;
  // In an envelope it is base64.
  if (text.length * 1.4 > MAX_ENVELOPE_BYTES)
    throw new RimonError(
      "RIMON_USAGE",
      `${executables.length} executables are more than one baseline holds; make one for each folder`,
    );
  if (options.out === undefined) terminal.write(text);
  else {
    await replaceFile(options.out, text, 0o644).catch((thrown: unknown) => {
      throw new RimonError("RIMON_USAGE", `${options.out} cannot be written: ${reasonOf(thrown)}`, { cause: thrown });
    });
    tellLearned(options.out, executables.length, unlearned, options.json, terminal);
  }
  return unlearned.length === 0 ? 0 : 1;
}

function tellLearned(
  out: string,
  count: number,
  unlearned: Awaited<ReturnType<typeof executablesBelow>>["unlearned"],
  json: boolean,
  { style, write }: Terminal,
): void {
  if (json)
    return write(
      `${JSON.stringify({ type: "gate-learned", version: FORMAT_VERSION, file: out, executables: count, unlearned })}\n`,
    );
  for (const { path, reason } of unlearned.slice(0, MAX_UNLEARNED_SHOWN))
    write(`${style("medium", "not learned")}  ${printable(path)}: ${printable(reason)}\n`);
  if (unlearned.length > MAX_UNLEARNED_SHOWN) write(`and ${unlearned.length - MAX_UNLEARNED_SHOWN} more\n`);
  write(
    `${style("bold", out)} knows ${count} ${count === 1 ? "executable" : "executables"}, not sealed yet. To seal it, on the machine that has the key: rimon seal sign ${printable(out)} --key KEY\n`,
  );
}

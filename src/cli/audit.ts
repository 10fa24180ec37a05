// `rimon audit show|verify`: reading the log, and proving that it is whole.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Configuration } from "../configuration.ts";
import { RimonError, reasonOf } from "../errors.ts";
import { printable } from "../responders/printable.ts";
import { isClosedFile } from "../store/audit-files.ts";
import { readAuditLog, verifyAuditLog } from "../store/audit-verify.ts";
import { clock } from "./present.ts";
import { loadSetup, stateDirectory } from "./setup.ts";
import type { Terminal } from "./terminal.ts";

export function defaultAuditLog(): string {
  return join(stateDirectory(), "audit.ndjson");
}

export interface ShowOptions {
  readonly json: boolean;
  readonly finding?: string;
  readonly type?: string;
}

export async function auditShowCommand(file: string, options: ShowOptions, terminal: Terminal): Promise<number> {
  let read = 0;
  let shown = 0;
  for await (const record of recordsOf(file)) {
    read++;
    if (options.type !== undefined && record.type !== options.type) continue;
    if (options.finding !== undefined && !concerns(record.body, options.finding)) continue;
    shown++;
    terminal.write(options.json ? `${JSON.stringify(record)}\n` : `${line(record, terminal)}\n`);
  }
  if (read === 0 && !existsSync(file)) throw new RimonError("RIMON_USAGE", `there is no audit log at ${file}`);
  if (shown === 0 && !options.json) terminal.write("no record matches\n");
  return 0;
}

async function* recordsOf(file: string): ReturnType<typeof readAuditLog> {
  try {
    yield* readAuditLog(file);
  } catch (thrown) {
    if (thrown instanceof RimonError) throw thrown;
    throw new RimonError("RIMON_USAGE", `the audit log ${file} cannot be read: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

function concerns(body: Readonly<Record<string, unknown>>, finding: string): boolean {
  if (body["finding"] === finding) return true;
  const judged = body["finding"];
  if (typeof judged !== "object" || judged === null) return false;
  const { id, repeats } = judged as Record<string, unknown>;
  return id === finding || repeats === finding;
}

function line(
  { seq, time, type, body }: { seq: number; time: string; type: string; body: Readonly<Record<string, unknown>> },
  { style }: Terminal,
): string {
  return `${String(seq).padStart(8)}  ${time.slice(0, 10)} ${clock(time)}  ${style("bold", type.padEnd(10))}  ${printable(summary(type, body), 400)}`;
}

function summary(type: string, body: Readonly<Record<string, unknown>>): string {
  if (type === "verdict") {
    const { rule, severity, message, id } = (body["finding"] ?? {}) as Record<string, unknown>;
    const actions = (body["actions"] ?? []) as readonly { action: string; allowed: boolean }[];
    const planned = actions.filter(({ allowed }) => allowed).map(({ action }) => action);
    return `${String(id)} ${String(severity)} ${String(rule)}: ${String(message)}${planned.length === 0 ? "" : ` -> ${planned.join(", ")}`}`;
  }
  if (type === "outcome")
    return `${String(body["finding"])} ${String(body["action"])} ${String(body["result"])}: ${String(body["message"])}`;
  return JSON.stringify(body);
}

export interface VerifyOptions {
  readonly json: boolean;
  readonly publicKey?: string;
  readonly config?: string;
}

/** Exit code 1 if the log does not verify. */
export async function auditVerifyCommand(file: string, options: VerifyOptions, terminal: Terminal): Promise<number> {
  const { publicKeyFile, note } = await keyFor(file, options);
  const verified = await verifyAuditLog(file, publicKeyFile === undefined ? {} : { publicKeyFile });
  const notes = [...verified.notes, ...(note === undefined ? [] : [note])];
  const found = { ...verified, ...(publicKeyFile === undefined ? {} : { publicKeyFile }), notes };
  if (options.json) {
    terminal.write(`${JSON.stringify({ type: "verification", version: 1, file, ...found })}\n`);
    return found.ok ? 0 : 1;
  }
  const { style } = terminal;
  const range =
    found.records === 0
      ? "no records"
      : `records ${found.firstSeq} to ${found.lastSeq} in ${found.files} ${found.files === 1 ? "file" : "files"}`;
  terminal.write(
    `${found.ok ? style("ok", "verified") : style("bad", "NOT VERIFIED")}  ${file}: ${range}, ${found.checkpoints} signed checkpoints\n`,
  );
  const bad = found.firstBad;
  if (bad !== undefined) {
    terminal.write(
      `${style("bad", "first bad record")}  ${bad.file}:${bad.line}${bad.seq === undefined ? "" : ` (record ${bad.seq})`}: ${printable(bad.reason)}\n`,
    );
  }
  for (const note of found.notes) terminal.write(`${style("dim", "note")}  ${printable(note)}\n`);
  return found.ok ? 0 : 1;
}

interface Key {
  /** Undefined: the key that the log itself names. */
  readonly publicKeyFile?: string;
  readonly note?: string;
}

/** The key that was named, or that of the configuration if it is this log that it means. */
async function keyFor(file: string, { publicKey, config }: VerifyOptions): Promise<Key> {
  if (publicKey !== undefined) return checkedAgainst(publicKey);
  let audit: Configuration["audit"];
  try {
    ({ audit } = (await loadSetup(config === undefined ? {} : { config })).configuration);
  } catch (thrown) {
    if (config !== undefined) throw thrown;
    // A configuration that is broken is no reason to leave a log unread.
    return { note: `no key is taken from the configuration: ${reasonOf(thrown)}` };
  }
  const path = resolve(file);
  const isItsLog = path === audit.path || (isClosedFile(path) && path.startsWith(`${audit.path}.`));
  const publicKeyFile = `${audit.keyFile}.pub`;
  return isItsLog && existsSync(publicKeyFile) ? checkedAgainst(publicKeyFile) : {};
}

function checkedAgainst(publicKeyFile: string): Key {
  return { publicKeyFile, note: `signatures were checked against ${publicKeyFile}` };
}

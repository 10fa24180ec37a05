// `rimon files init|check|update|show|diff|explain`: files as they are, and as they were when all was well.

import { lstatSync } from "node:fs";
import { join, resolve } from "node:path";
import { attributeOf, isText, textOf } from "../baselines/files/compare.ts";
import { DEFAULT_RULES } from "../baselines/files/defaults.ts";
import { differenceOf, errnoName, sayAttribute } from "../baselines/files/difference.ts";
import type { FileEntry, FileType } from "../baselines/files/entry.ts";
import {
  ATTRIBUTES,
  GROUPS,
  findCut,
  findRule,
  groupsOf,
  type FileRule,
  type GroupName,
} from "../baselines/files/rules.ts";
import { SealProblem } from "../baselines/seal.ts";
import type { FileDifference } from "../file-changed.ts";
import { openFileBaseline, type FileBaseline } from "../files/baseline-file.ts";
import { checkFiles, initFiles, updateFiles, type FilesChecked, type FilesOptions } from "../files/check.ts";
import { EntryReader, merge } from "../files/entry-reader.ts";
import { entryOf } from "../files/scan.ts";
import type { WalkProgress } from "../files/walk.ts";
import { FORMAT_VERSION } from "../finding.ts";
import { printable } from "../responders/printable.ts";
import { pinnedKeys } from "./baseline-files.ts";
import { duration } from "./present.ts";
import { loadSetup, stateDirectory, type Overrides } from "./setup.ts";
import { createTerminal, table, type Terminal } from "./terminal.ts";

export interface PaceOptions {
  readonly json: boolean;
  readonly threads?: number;
  readonly rate?: number;
  /** Not last in the queue for disk and processor. */
  readonly eager?: boolean;
}

export interface BaselineOptions {
  readonly baseline?: string;
  readonly publicKey?: readonly string[];
  readonly threshold?: number;
}

export function defaultFileBaseline(): string {
  return join(stateDirectory(), "files.json");
}

export interface FilesInitOptions extends PaceOptions, Overrides {
  readonly baseline?: string;
  readonly rule?: readonly FileRule[];
  readonly crossFilesystems?: boolean;
  readonly maxBytes?: number;
  readonly expiresDays?: number;
}

/** Exit code 0, also where something could not be taken in: that is told. */
export async function filesInitCommand(
  paths: readonly string[],
  options: FilesInitOptions,
  terminal: Terminal,
): Promise<number> {
  const file = options.baseline ?? defaultFileBaseline();
  const configured = (await loadSetup(options)).configuration.files;
  const roots = paths.length > 0 ? paths.map((path) => resolve(path)) : configured?.paths;
  const progress = createProgress();
  const { expiresDays, maxBytes } = options;
  const {
    entries,
    scope,
    troubles,
    troubleCount,
    progress: walked,
  } = await initFiles({
    file,
    ...(roots === undefined ? {} : { roots }),
    rules: [...(options.rule ?? []), ...(configured?.rules ?? []), ...DEFAULT_RULES],
    crossFilesystems: options.crossFilesystems ?? false,
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(expiresDays === undefined ? {} : { expiresDays }),
    ...paceOf(options, progress.tell),
  }).finally(progress.end);
  if (options.json) {
    const said = { file, entries, roots: scope.roots, bytesRead: walked.bytes, troubles: troubleCount };
    for (const trouble of troubles) writeJson(terminal, "file-trouble", { ...trouble });
    writeJson(terminal, "files-taken", said);
    return 0;
  }
  const { style, write } = terminal;
  for (const { path, reason } of troubles.slice(0, 20))
    write(`${style("medium", "trouble")}  ${printable(path, 300)}: ${printable(reason)}\n`);
  if (troubleCount > 20) write(style("medium", `and ${troubleCount - 20} more; --json names them\n`));
  write(
    table([
      ["looked at", scope.roots.map((root) => printable(root)).join(" ")],
      ["entries", `${entries.count}, ${size(walked.bytes)} read`],
      ["sha256", entries.sha256],
    ]),
  );
  write(
    `${style("bold", printable(file))} is a baseline, not sealed yet. To seal it, on the machine that has the key: rimon seal sign ${printable(file)} --key KEY\n`,
  );
  return 0;
}

export interface FilesCheckOptions extends PaceOptions, BaselineOptions {
  readonly full?: boolean;
}

/** Exit code 1 if something is not as it was, or the baseline is not to be trusted. */
export async function filesCheckCommand(
  paths: readonly string[],
  options: FilesCheckOptions,
  terminal: Terminal,
): Promise<number> {
  return withBaseline(options, terminal, async (baseline) => {
    const began = performance.now();
    const progress = createProgress(baseline.entries.count);
    if (!options.json) tellBaseline(baseline, terminal);
    const checked = await checkFiles(baseline, {
      paths: paths.map((path) => resolve(path)),
      full: options.full ?? false,
      onDifference: (difference) => tellDifference(difference, options.json, terminal, progress),
      ...paceOf(options, progress.tell),
    }).finally(progress.end);
    tellSummary(checked, performance.now() - began, options, terminal);
    return checked.ok ? 0 : 1;
  });
}

export interface FilesUpdateOptions extends FilesCheckOptions {
  readonly expiresDays?: number;
}

/** Exit code 0: what differed is what was meant. */
export async function filesUpdateCommand(
  paths: readonly string[],
  options: FilesUpdateOptions,
  terminal: Terminal,
): Promise<number> {
  return withBaseline(options, terminal, async (baseline) => {
    const progress = createProgress(baseline.entries.count);
    const { expiresDays } = options;
    const updated = await updateFiles(baseline, {
      paths: paths.map((path) => resolve(path)),
      full: options.full ?? false,
      ...(expiresDays === undefined ? {} : { expiresDays }),
      onDifference: (difference) => tellDifference(difference, options.json, terminal, progress),
      ...paceOf(options, progress.tell),
    }).finally(progress.end);
    const { differences, entries } = updated;
    if (options.json) writeJson(terminal, "files-updated", { file: baseline.file, accepted: differences, entries });
    else {
      terminal.write(`${differences} accepted, ${entries.count} entries, sha256 ${entries.sha256}\n`);
      terminal.write(
        `${terminal.style("bold", printable(baseline.file))} is not sealed yet: rimon seal sign ${printable(baseline.file)} --key KEY\n`,
      );
    }
    return 0;
  });
}

export interface FilesShowOptions extends BaselineOptions {
  readonly json: boolean;
}

/** Exit code 1 if a path is not in the baseline. */
export async function filesShowCommand(
  paths: readonly string[],
  options: FilesShowOptions,
  terminal: Terminal,
): Promise<number> {
  return withBaseline(
    options,
    terminal,
    async (baseline) => {
      const asked = paths.map((path) => Buffer.from(resolve(path)));
      const reader = new EntryReader(asked.length === 0 ? baseline.pieces() : baseline.piecesBelow(asked));
      let shown = 0;
      for (await reader.fill(); !reader.done; reader.dry ? await reader.fill() : undefined) {
        const entry = entryOf(reader.copy());
        shown++;
        if (options.json) writeJson(terminal, "file-entry", entryJson(entry, baseline));
        else terminal.write(`${entryLine(entry)}\n`);
        reader.step();
      }
      if (shown === 0 && !options.json) terminal.write("none of it is in the baseline\n");
      return shown === 0 ? 1 : 0;
    },
    true,
  );
}

/** Compares two baselines, offline; exit code 1 if they differ. */
export async function filesDiffCommand(
  before: string,
  after: string,
  options: FilesShowOptions,
  terminal: Terminal,
): Promise<number> {
  return withBaseline(
    { ...options, baseline: before },
    terminal,
    (old) =>
      withBaseline(
        { ...options, baseline: after },
        terminal,
        async (now) => {
          let differences = 0;
          let waiting: FileDifference[] = [];
          const visitor = {
            alike: () => false,
            pair(was: EntryReader | undefined, is: EntryReader | undefined) {
              const [left, right] = [was, is].map((each) => (each === undefined ? undefined : entryOf(each.copy())));
              const rules = left === undefined ? now.scope.rules : old.scope.rules;
              const difference = differenceOf(left, right, rules);
              if (difference !== undefined) waiting.push(difference);
            },
            isFull: () => waiting.length >= 100,
            async flush() {
              for (const difference of waiting) await tellDifference(difference, options.json, terminal);
              differences += waiting.length;
              waiting = [];
            },
          };
          await merge(new EntryReader(old.pieces()), new EntryReader(now.pieces()), visitor);
          if (options.json) writeJson(terminal, "files-compared", { before, after, differences });
          else
            terminal.write(
              differences === 0 ? terminal.style("ok", "no difference\n") : `${differences} differences\n`,
            );
          return differences === 0 ? 0 : 1;
        },
        true,
      ),
    true,
  );
}

export interface FilesExplainOptions extends Overrides, BaselineOptions {
  readonly json: boolean;
}

/** Which rule decides about each path, what is compared then, and why. */
export async function filesExplainCommand(
  paths: readonly string[],
  options: FilesExplainOptions,
  terminal: Terminal,
): Promise<number> {
  if (options.baseline === undefined) {
    const configured = (await loadSetup(options)).configuration.files;
    return explain(paths, [...(configured?.rules ?? []), ...DEFAULT_RULES], options.json, terminal);
  }
  return withBaseline(
    options,
    terminal,
    (baseline) => Promise.resolve(explain(paths, baseline.scope.rules, options.json, terminal, baseline.scope.roots)),
    true,
  );
}

function explain(
  paths: readonly string[],
  rules: readonly FileRule[],
  json: boolean,
  terminal: Terminal,
  roots?: readonly string[],
): number {
  for (const each of paths) {
    const path = resolve(each);
    const bytes = Buffer.from(path);
    const type = typeAt(path);
    const cut = findCut(rules, bytes);
    const index = cut?.rule ?? findRule(rules, bytes, type ?? "file");
    const rule = index === undefined ? undefined : rules[index];
    const outside =
      roots !== undefined && !roots.some((root) => root === "/" || path === root || path.startsWith(`${root}/`));
    const compared = rule === undefined || rule.group === "ignore" || outside ? [] : groupsOf(rule.group, type);
    if (json) {
      const said = {
        path,
        kind: type,
        rule: index === undefined ? undefined : index + 1,
        pattern: rule?.path,
        group: rule?.group,
        compared,
        why: rule?.why,
        by: cut?.folder.toString(),
        inScope: !outside,
      };
      writeJson(terminal, "file-rule", said);
      continue;
    }
    const { style } = terminal;
    const what = outside
      ? "not looked at: it is below none of the baseline's roots"
      : rule === undefined
        ? "not looked at: no rule is of it"
        : rule.group === "ignore"
          ? `left out${cut === undefined ? "" : `, with its folder ${printable(cut.folder.toString())}`}`
          : `${rule.group}: ${GROUPS[rule.group as GroupName].says}`;
    terminal.write(`${style("bold", printable(path))}   ${type ?? "not there: taken for a file"}\n`);
    terminal.write(
      table([
        ["", "it is", what],
        ...(rule === undefined
          ? []
          : [
              [
                "",
                "by rule",
                `${(index ?? 0) + 1} of ${rules.length}: ${printable(rule.path)}${rule.types === undefined ? "" : `, of ${rule.types.join(" and ")} alone`}`,
              ],
            ]),
        ...(rule?.why === undefined ? [] : [["", "since", printable(rule.why)]]),
        ...(compared.length === 0 ? [] : [["", "compared", compared.join(", ")]]),
      ]),
    );
  }
  return 0;
}

function typeAt(path: string): FileType | undefined {
  try {
    const found = lstatSync(path);
    if (found.isFile()) return "file";
    if (found.isDirectory()) return "folder";
    if (found.isSymbolicLink()) return "link";
    if (found.isFIFO()) return "fifo";
    if (found.isSocket()) return "socket";
    return found.isBlockDevice() ? "block" : "character";
  } catch {
    return undefined;
  }
}

async function withBaseline(
  {
    baseline: file = defaultFileBaseline(),
    publicKey = [],
    threshold = 1,
    json,
  }: BaselineOptions & { readonly json: boolean },
  terminal: Terminal,
  act: (baseline: FileBaseline) => Promise<number>,
  anyMachine = false,
): Promise<number> {
  let baseline;
  try {
    baseline = await openFileBaseline(file, { keys: await pinnedKeys(publicKey), threshold, anyMachine });
    return await act(baseline);
  } catch (thrown) {
    if (!(thrown instanceof SealProblem)) throw thrown;
    const { code, message } = thrown;
    if (json) writeJson(terminal, "files-refused", { file, code, message });
    else
      terminal.write(`${terminal.style("bad", `REFUSED (${code})`)}  ${printable(file)}: ${printable(message, 500)}\n`);
    return 1;
  } finally {
    await baseline?.close();
  }
}

function tellBaseline({ file, header, keyIds, entries }: FileBaseline, { style, write }: Terminal): void {
  const sealed =
    keyIds === undefined
      ? style("medium", "not sealed")
      : style("ok", `sealed by ${keyIds.map((id) => id.slice(0, 16)).join(", ")}`);
  write(
    `${style("bold", printable(file))}   ${entries.count} entries, taken ${header.createdAt} on ${printable(header.machine.node)}, ${sealed}\n`,
  );
}

const STYLES = {
  added: "high",
  removed: "high",
  changed: "high",
  moved: "medium",
  unreadable: "medium",
  unstable: "medium",
} as const;

async function tellDifference(
  difference: FileDifference,
  json: boolean,
  terminal: Terminal,
  progress?: { clear(): void },
): Promise<void> {
  if (json) writeJson(terminal, "file", { ...difference });
  else {
    progress?.clear();
    const { change, path, from, fileType, attributes, reason } = difference;
    const { style } = terminal;
    const of = fileType === undefined || fileType === "file" ? "" : `${fileType} `;
    const more =
      from === undefined ? (reason === undefined ? "" : `: ${printable(reason)}`) : ` (was ${printable(from, 500)})`;
    terminal.write(`${style(STYLES[change], change.padEnd(10))}  ${of}${printable(path, 1000)}${more}\n`);
    for (const each of attributes) terminal.write(`${" ".repeat(12)}${printable(sayAttribute(each), 500)}\n`);
  }
  // A million lines are not to wait in memory for a slow reader.
  if (process.stdout.writableNeedDrain) await new Promise((resolved) => process.stdout.once("drain", resolved));
}

function tellSummary(
  { ok, differences, counts, progress }: FilesChecked,
  ms: number,
  { json, full = false }: FilesCheckOptions,
  terminal: Terminal,
): void {
  if (json) {
    const { entries, bytes, vanished } = progress;
    return writeJson(terminal, "files-checked", { ok, differences, counts, entries, bytesRead: bytes, vanished, full });
  }
  const { style, write } = terminal;
  const read = `${progress.entries} entries, ${size(progress.bytes)} read in ${(ms / 1000).toFixed(1)} s`;
  const kinds = Object.entries(counts).flatMap(([kind, count]) => (count === 0 ? [] : [`${count} ${kind}`]));
  write(ok ? `${style("ok", "all as it was")}   ${read}\n` : `${style("bad", kinds.join(", "))}   ${read}\n`);
  if (!full && differences === 0)
    write(
      style("dim", "files whose inode, size and times are those of before were not read again; --full reads all\n"),
    );
}

function entryJson(entry: FileEntry, { scope }: FileBaseline): Record<string, unknown> {
  const rule = scope.rules[entry.rule];
  const attributes = Object.fromEntries(ATTRIBUTES.map((each) => [each, attributeOf(entry, each)]));
  return {
    path: textOf(entry.path),
    ...(isText(entry.path) ? {} : { pathHex: entry.path.toString("hex") }),
    attributes,
    rule: rule?.path,
    group: rule?.group,
    ...(entry.error === 0 ? {} : { error: errnoName(entry.error) }),
  };
}

function entryLine(entry: FileEntry): string {
  const of = (attribute: Parameters<typeof attributeOf>[1]): string => attributeOf(entry, attribute) ?? "-";
  const more = (["target", "capabilities", "acl", "xattrs", "flags", "node"] as const).flatMap((each) => {
    const value = attributeOf(entry, each);
    return value === undefined ? [] : [`${each} ${printable(value, 200)}`];
  });
  return [
    of("type").padEnd(6),
    of("mode"),
    `${of("owner")}:${of("group")}`.padEnd(9),
    of("size").padStart(10),
    of("mtime"),
    (entry.sha256 ?? "-").slice(0, 16).padEnd(16),
    printable(textOf(entry.path), 1000),
    ...more,
  ].join("  ");
}

function writeJson(terminal: Terminal, type: string, fields: Readonly<Record<string, unknown>>): void {
  terminal.write(`${JSON.stringify({ type, version: FORMAT_VERSION, ...fields })}\n`);
}

function paceOf({ threads, rate, eager }: PaceOptions, onProgress: (progress: WalkProgress) => void): FilesOptions {
  return {
    ...(threads === undefined ? {} : { threads }),
    ...(rate === undefined ? {} : { bytesPerSecond: rate }),
    idle: eager !== true,
    onProgress,
  };
}

/** How far it is, on standard error where a person sees it; `expected` entries are what there were before. */
function createProgress(expected?: number) {
  const terminal = createTerminal(process.stderr);
  const began = performance.now();
  let last = began;
  return {
    tell({ entries, bytes }: WalkProgress): void {
      const now = performance.now();
      if (!terminal.isTTY || now - last < 200) return;
      last = now;
      const seconds = (now - began) / 1000;
      const left =
        expected === undefined || entries === 0 || entries > expected
          ? ""
          : `, ${duration(((expected - entries) / entries) * (now - began))} left`;
      terminal.status(
        `${entries}${expected === undefined ? "" : ` of ${expected}`} entries, ${size(bytes)}, ${Math.round(entries / seconds)} a second, ${size(bytes / seconds)}/s${left}`,
      );
    },
    clear: () => terminal.status(""),
    end: () => terminal.status(""),
  };
}

function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes, 0];
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

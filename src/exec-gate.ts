// The exec gate's table, from what the configuration names: baselines, what packages brought, lists of what is never to
// run. And the walk by which `rimon gate learn` makes a baseline.

import { createHash, type Hash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { lstat, open, readdir, realpath, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { MAX_ENVELOPE_BYTES, type PublicKey } from "./baselines/dsse.ts";
import { EXECUTABLES_BASELINE, executablesOf, type Executable } from "./baselines/executables.ts";
import { compileGateTable } from "./baselines/gate-table.ts";
import type { BaselineInUse, RefusedBaseline } from "./baselines/in-use.ts";
import { SealProblem, checkHeader, openSealed } from "./baselines/seal.ts";
import { parseStatement } from "./baselines/statement.ts";
import type { BaselineSettings, GateSet, GateSettings } from "./configuration.ts";
import { RimonError, reasonOf } from "./errors.ts";
import { machineOf } from "./machine.ts";
import { readIfThere, readPinnedKeys, readText } from "./named-files.ts";

const DPKG_INFO = "/var/lib/dpkg/info";
const DPKG_STATUS = "/var/lib/dpkg/status";
/** Hashed in one turn of the event loop: half a millisecond. */
const CHUNK = 1 << 18;
const AT_ONCE = 256;
const MAX_LIST_BYTES = 64 * 1024 * 1024;

export interface LoadedGate {
  readonly table: Buffer;
  /** How many digests each set has. */
  readonly counts: Readonly<Record<GateSet, number>>;
  /** The counter of each baseline that is not sealed, by its file: none with a lesser one is believed after it. */
  readonly counters: Readonly<Record<string, number>>;
  /** As /proc/PID/exe names them. */
  readonly interpreters: readonly string[];
  /** Files whose last good copy is used in their place, and why. */
  readonly refused: readonly (RefusedBaseline & { readonly file: string })[];
  /** Why no copy could be kept of some. */
  readonly notKept: readonly string[];
  readonly packages: Packages | undefined;
}

/** What packages brought, and by which list of packages. */
interface Packages {
  readonly version: string;
  readonly digests: ReadonlySet<string>;
}

export interface LoadOptions {
  /** Of baselines that are not sealed, by file: what was in force. */
  readonly lastCounters?: Readonly<Record<string, number>>;
  /** Opens one that is sealed and remembers it (store/sealed-baselines.ts); else it is read, and nothing is remembered. */
  readonly openBaseline?: (settings: BaselineSettings, predicateType: string) => Promise<BaselineInUse>;
  /** Of the load before: what packages brought takes long to read. */
  readonly packages?: Packages | undefined;
  /** The one file that the table will be asked about: of what packages brought no more is read than has its MD5. */
  readonly only?: string;
}

/** A baseline that is not to be believed. */
export class RefusedExecutables extends RimonError {
  readonly file: string;
  readonly problem: RefusedBaseline;

  constructor(file: string, problem: RefusedBaseline, cause?: unknown) {
    super("RIMON_CONFIG", `the exec gate cannot use ${file}: ${problem.message}`, { cause });
    this.file = file;
    this.problem = problem;
  }
}

/** Reads everything; throws, with what is wrong, if anything cannot be believed. */
export async function loadGate(
  settings: GateSettings,
  now: number,
  { lastCounters = {}, openBaseline, packages: before, only }: LoadOptions = {},
): Promise<LoadedGate> {
  const keys = await readPinnedKeys(settings.publicKeys).catch((thrown: unknown) => {
    throw new RimonError("RIMON_CONFIG", `gate.publicKeys: ${reasonOf(thrown)}`, { cause: thrown });
  });
  const baseline = new Set<string>();
  const counters: Record<string, number> = {};
  const refused: (RefusedBaseline & { readonly file: string })[] = [];
  const notKept: string[] = [];
  for (const file of settings.known) {
    if (keys.length > 0 && openBaseline !== undefined) {
      const inUse = await openBaseline(sealedSettings(settings, file), EXECUTABLES_BASELINE);
      const { opened } = inUse;
      if (opened === undefined)
        throw new RefusedExecutables(file, inUse.refused ?? { code: "missing", message: "there is none" });
      for (const { sha256 } of await within(file, () => executablesOf(opened.statement))) baseline.add(sha256);
      if (inUse.refused !== undefined) refused.push({ file, ...inUse.refused });
      if (inUse.notKept !== undefined) notKept.push(inUse.notKept);
      continue;
    }
    const { executables, counter } = await within(file, async () =>
      readExecutables(await readIfThere(MAX_ENVELOPE_BYTES, file), keys, settings.threshold, now, lastCounters[file]),
    );
    if (keys.length === 0) counters[file] = counter;
    for (const { sha256 } of executables) baseline.add(sha256);
  }
  const denied = new Set<string>();
  for (const file of settings.denied)
    for (const digest of await within(file, async () => digestsIn(await readText(MAX_LIST_BYTES, file))))
      denied.add(digest);
  const packages = settings.packages ? await packagesNow(settings.maxBytes, before, only) : undefined;
  const sets = new Map<GateSet, ReadonlySet<string>>([
    ["baseline", baseline],
    ["packages", packages?.digests ?? new Set()],
    ["denied", denied],
  ]);
  const { deadlineMs, maxBytes, otherwise, unanswered, rules } = settings;
  const interpreters = await asTheyRun(settings.interpreters);
  const updaters = await asTheyRun(settings.upgrade.by);
  return {
    interpreters,
    table: compileGateTable({ rules, sets, otherwise, unanswered, deadlineMs, maxBytes, interpreters, updaters }),
    counts: { baseline: baseline.size, packages: packages?.digests.size ?? 0, denied: denied.size },
    counters,
    refused,
    notKept,
    packages,
  };
}

/** Where its last good copy is kept: beside the state, under a name of its own. */
function sealedSettings({ publicKeys, threshold, stateFile }: GateSettings, file: string): BaselineSettings {
  const name = createHash("sha256").update(file).digest("hex").slice(0, 16);
  const lastGood = `${stateFile}.${name}.sealed`;
  return { file, publicKeys, threshold, ifRefused: "last-good", lastGood, ofAnyMachine: true };
}

/** Changes when any file does that a table is made of. */
export async function versionOfSources({ known, publicKeys, denied, packages }: GateSettings): Promise<string> {
  const files = [...known, ...publicKeys, ...denied, ...(packages ? [DPKG_STATUS] : [])];
  return (await Promise.all(files.map(versionAt))).join("\n");
}

async function versionAt(file: string): Promise<string> {
  return stat(file).then(versionOf, (thrown: unknown) => (thrown as NodeJS.ErrnoException).code ?? "unknown");
}

async function packagesNow(
  maxBytes: number,
  before: Packages | undefined,
  only: string | undefined,
): Promise<Packages> {
  const version = `${await versionAt(DPKG_STATUS)} ${maxBytes} ${only ?? ""}`;
  if (before?.version === version) return before;
  const [md5 = ""] = only === undefined ? [] : ((await digestsOf(only, ["md5"], maxBytes).catch(() => [])) ?? []);
  const isAsked = (each: string): boolean => only === undefined || each === md5;
  return { version, digests: await packagedDigests(DPKG_INFO, maxBytes, isAsked) };
}

/** python3 is a link, and what runs is python3.11. */
async function asTheyRun(paths: readonly string[]): Promise<readonly string[]> {
  const resolved = await Promise.all(paths.map((path) => realpath(path).catch(() => path)));
  return [...new Set([...paths, ...resolved])];
}

/** One that is sealed may come from another machine, by whoever holds the key; one that is not must be this one's. */
function readExecutables(
  bytes: Buffer | undefined,
  keys: readonly PublicKey[],
  threshold: number,
  now: number,
  lastCounter: number | undefined,
): { executables: readonly Executable[]; counter: number } {
  const expected = {
    predicateType: EXECUTABLES_BASELINE,
    now,
    ...(lastCounter === undefined ? {} : { lastCounter }),
  };
  if (keys.length > 0) {
    const { statement, header } = openSealed(bytes, { keys, threshold, ...expected });
    return { executables: executablesOf(statement), counter: header.counter };
  }
  if (bytes === undefined)
    throw new SealProblem("missing", "a baseline was expected, and there is none; rimon gate learn makes one");
  const statement = parseStatement(bytes);
  const { counter } = checkHeader(statement, { ...expected, machineId: machineOf().id });
  return { executables: executablesOf(statement), counter };
}

/** One a line, in hexadecimal; what follows behind a space, and lines that begin with #, say something to people. */
export function digestsIn(text: string): readonly string[] {
  return text.split("\n").flatMap((line, index) => {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) return [];
    const digest = /^([0-9a-f]{64})(?:\s|$)/i.exec(trimmed)?.[1];
    if (digest !== undefined) return [digest.toLowerCase()];
    throw new Error(`line ${index + 1} must begin with 64 hexadecimal digits, got "${trimmed.slice(0, 40)}"`);
  });
}

/** Of executables whose MD5 is that of the package they came with; one that cannot be read, or not as one state of it, is none. */
async function packagedDigests(
  info: string,
  maxBytes: number,
  isAsked: (md5: string) => boolean,
): Promise<Set<string>> {
  const digests = new Set<string>();
  const lists = await within(info, () => readdir(info));
  for (const list of lists.filter((name) => name.endsWith(".md5sums"))) {
    const file = join(info, list);
    const lines = (await within(file, () => readText(MAX_LIST_BYTES, file))).split("\n");
    const md5s = new Map(lines.flatMap(packaged).filter(([, md5]) => isAsked(md5)));
    for (const path of await executablesAmong([...md5s.keys()])) {
      const found = await digestsOf(path, ["md5", "sha256"], maxBytes).catch(() => undefined);
      if (found?.[0] === md5s.get(path) && found?.[1] !== undefined) digests.add(found[1]);
    }
  }
  return digests;
}

function packaged(line: string): [path: string, md5: string][] {
  const [, md5, path] = /^([0-9a-f]{32}) [ *](.+)$/.exec(line) ?? [];
  return md5 === undefined || path === undefined ? [] : [[`/${path}`, md5]];
}

/** Of the files of a package hardly any is one: to open them all would take a minute and a half. */
async function executablesAmong(paths: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (let from = 0; from < paths.length; from += AT_ONCE) {
    const some = paths.slice(from, from + AT_ONCE);
    const modes = await Promise.all(some.map((path) => lstat(path).then(({ mode }) => mode, () => 0))); // prettier-ignore
    found.push(...some.filter((_, index) => ((modes[index] ?? 0) & 0o111) !== 0));
  }
  return found;
}

/** What a walk came by and could not take. */
export interface Unlearned {
  readonly path: string;
  readonly reason: string;
}

/** Every executable file below these, links not followed; each once. */
export async function executablesBelow(
  paths: readonly string[],
  onProgress: (found: number) => void = () => {},
): Promise<{ executables: readonly Executable[]; unlearned: readonly Unlearned[] }> {
  const executables = new Map<string, string>();
  const unlearned: Unlearned[] = [];
  const waiting = [...paths];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    try {
      const entries = await readdir(path, { withFileTypes: true });
      for (const entry of entries) if (entry.isDirectory() || entry.isFile()) waiting.push(join(path, entry.name));
      continue;
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      if (code !== "ENOTDIR") {
        unlearned.push({ path, reason: reasonOf(thrown) });
        continue;
      }
    }
    try {
      const [sha256] = (await digestsOf(path, ["sha256"], Infinity)) ?? [];
      if (sha256 !== undefined) executables.set(path, sha256);
      onProgress(executables.size);
    } catch (thrown) {
      unlearned.push({ path, reason: reasonOf(thrown) });
    }
  }
  const sorted = [...executables].map(([path, sha256]) => ({ path, sha256 }));
  return { executables: sorted.toSorted((a, b) => (a.path < b.path ? -1 : 1)), unlearned };
}

/** Undefined: it is no executable file, or gone. Throws if it was changed while it was read. */
async function digestsOf(
  path: string,
  algorithms: readonly string[],
  maxBytes: number,
): Promise<readonly string[] | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ELOOP" || code === "ENXIO" || code === "ENOTDIR") return undefined;
    throw thrown;
  }
  try {
    const before = await handle.stat();
    if (!before.isFile() || (before.mode & 0o111) === 0 || before.size > maxBytes) return undefined;
    const hashes = algorithms.map((algorithm): Hash => createHash(algorithm));
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK, Math.max(1, before.size)));
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      for (const hash of hashes) hash.update(chunk.subarray(0, bytesRead));
    }
    if (versionOf(before) !== versionOf(await handle.stat())) throw new Error("it was changed while it was read");
    return hashes.map((hash) => hash.digest("hex"));
  } finally {
    await handle.close();
  }
}

function versionOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}

async function within<T>(file: string, act: () => Promise<T> | T): Promise<T> {
  try {
    return await act();
  } catch (thrown) {
    if (thrown instanceof SealProblem) throw new RefusedExecutables(file, thrown, thrown);
    throw new RimonError("RIMON_CONFIG", `the exec gate cannot use ${file}: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

// Keeps what can be seen of the suspect and its target before anything is done to them. Never their environment, never
// their memory. Bounded in time and size; what could not be read is listed with the reason.

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, readlink, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { RimonError, reasonOf } from "../errors.ts";
import type { Actor, Outcome, Verdict } from "../finding.ts";
import { isExecutableServed } from "../served-files.ts";
import { printable } from "./printable.ts";
import { outcomeOf, type Responder } from "./responder.ts";
import { settledWithin } from "./settled-within.ts";

const ACTION = "capture";

const TOTAL_MS = 5_000;
/** Beyond TOTAL_MS, for a disk that hangs: the capture is given up then. */
const GIVE_UP_MS = 2_000;
const FILE_BYTES = 4 * 1024 * 1024;
const EXE_BYTES = 256 * 1024 * 1024;
const DESCRIPTORS = 16_384;
/** Captures under way; further ones wait for their turn, but no longer than one may take. */
const AT_ONCE = 4;

const STATUS_LINES =
  /^(Name|State|Tgid|Pid|PPid|TracerPid|Uid|Gid|NSpid|Threads|CoreDumping|VmLck|Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):/;

/** The column of the inode in /proc/PID/net/TABLE. */
const SOCKET_TABLES = [
  ["tcp", 9],
  ["tcp6", 9],
  ["unix", 6],
] as const;

export interface CaptureOptions {
  readonly directory: string;
  /** The newest that stay. */
  readonly keep: number;
  readonly enabled: boolean;
  readonly now?: () => number;
}

interface Gap {
  readonly process: "suspect" | "target";
  readonly part: string;
  readonly reason: string;
}

interface Captured {
  readonly read: readonly ("suspect" | "target")[];
  readonly gaps: readonly Gap[];
}

/** Writes what /proc says of suspect and target to a folder of its own. */
export function createCaptureResponder(options: CaptureOptions): Responder {
  const { now = Date.now } = options;
  const running = new Map<string, Promise<unknown>>();

  async function respond(verdict: Verdict): Promise<Outcome> {
    const startedAt = now();
    const outcome = (result: Outcome["result"], message: string, details?: Outcome["details"]) =>
      outcomeOf(verdict, ACTION, startedAt, now(), result, message, details);
    const { id, suspect, target } = verdict.finding;
    if (!options.enabled) return outcome("refused", `set actions.${ACTION}.enabled to true to allow it`);
    if (!isCaptureName(id)) return outcome("refused", "the id of the finding cannot be the name of a folder");
    if (running.has(id)) return outcome("skipped", "a capture for this finding is already under way");
    // One act of a debugger is several findings: those of another attacker must not go without a capture for it.
    for (const until = Date.now() + TOTAL_MS; running.size >= AT_ONCE;) {
      if (await settledWithin(Promise.race(running.values()), until - Date.now())) continue;
      return outcome("skipped", `${AT_ONCE} captures were under way for ${TOTAL_MS} ms`);
    }
    const path = join(options.directory, id);
    const work = capture(options, verdict, new Date(startedAt).toISOString(), running);
    running.set(id, work);
    const forget = () => void running.delete(id);
    work.then(forget, forget);
    try {
      if (!(await settledWithin(work, TOTAL_MS + GIVE_UP_MS))) {
        return outcome("failed", `the capture in ${path} did not end within ${TOTAL_MS + GIVE_UP_MS} ms`);
      }
      const { read, gaps } = await work;
      const names = read.map((role) => nameOf(role === "suspect" ? suspect : target)).join(" and ");
      const missing = gaps.length === 0 ? "" : `; ${gaps.length} parts could not be read, capture.json says why`;
      const details = { path, missing: gaps.length };
      if (read.length === 0) return outcome("skipped", `nothing but the finding is in ${path}: ${gone(gaps)}`, details);
      return outcome("done", `what /proc says of ${names} is in ${path}${missing}`, details);
    } catch (thrown) {
      return outcome("failed", `the capture in ${path} failed: ${reasonOf(thrown)}`);
    }
  }

  return {
    action: ACTION,
    respond,
    async close(graceMs) {
      await settledWithin(Promise.allSettled(running.values()), graceMs);
    },
  };
}

function nameOf(actor: Actor | undefined): string {
  return actor === undefined ? "" : `${printable(actor.comm)} (${actor.pid})`;
}

function gone(gaps: readonly Gap[]): string {
  return gaps.map((gap) => `${gap.process}: ${gap.reason}`).join("; ");
}

/** Neither a path nor hidden; ULIDs are of this form, and sort by time. */
function isCaptureName(name: string): boolean {
  return /^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$/.test(name);
}

async function capture(
  options: CaptureOptions,
  verdict: Verdict,
  time: string,
  underWay: ReadonlyMap<string, unknown>,
): Promise<Captured> {
  const { finding } = verdict;
  const deadline = Date.now() + TOTAL_MS;
  const captures = await Folder.openTop(options.directory);
  try {
    const folder = await captures.make(finding.id);
    try {
      await folder.write("finding.json", json(finding));
      const gaps: Gap[] = [];
      const read: ("suspect" | "target")[] = [];
      for (const role of ["suspect", "target"] as const) {
        const actor = finding[role];
        const missed = (part: string, reason: string) => void gaps.push({ process: role, part, reason });
        if (actor === undefined) missed("process", "the sensor could not tell which process it is");
        else if (await captureProcess(folder, role, actor, deadline, missed)) read.push(role);
      }
      await folder.write("capture.json", json({ version: 1, finding: finding.id, time, read, missing: gaps }));
      await captures.keepNewest(options.keep, finding.id, underWay);
      return { read, gaps };
    } finally {
      await folder.close();
    }
  } finally {
    await captures.close();
  }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

type Missed = (part: string, reason: string) => void;

/** False if the process was not there any more, or another one had its pid. */
async function captureProcess(
  parent: Folder,
  role: string,
  actor: Actor,
  deadline: number,
  missed: Missed,
): Promise<boolean> {
  let proc: FileHandle;
  try {
    proc = await open(`/proc/${actor.pid}`, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (thrown) {
    missed("process", vanished(thrown));
    return false;
  }
  try {
    // A descriptor of /proc/PID stays with that process: when its pid is given away, reads fail instead of lying.
    const at = `/proc/self/fd/${proc.fd}`;
    if (!(await isStill(at, actor, missed, "before"))) return false;
    const folder = await parent.make(role);
    try {
      const target: Parts = { at, actor, deadline, missed };
      for (const [name, read] of PARTS) {
        const content = await part(target, name, read);
        if (content !== undefined) await folder.write(name, content);
      }
    } finally {
      await folder.close();
    }
    await isStill(at, actor, missed, "after");
    return true;
  } finally {
    await proc.close();
  }
}

async function isStill(at: string, actor: Actor, missed: Missed, when: string): Promise<boolean> {
  try {
    const { startTime } = parseStat(await readStart(`${at}/stat`, 4096));
    if (startTime === actor.startTime) return true;
    missed("process", `pid ${actor.pid} belongs to another process: started at ${startTime}, not ${actor.startTime}`);
  } catch (thrown) {
    missed("process", when === "before" ? vanished(thrown) : `${vanished(thrown)} while it was captured`);
  }
  return false;
}

function vanished(thrown: unknown): string {
  const { code } = thrown as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ESRCH" ? "it had ended" : reasonOf(thrown);
}

interface Parts {
  readonly at: string;
  readonly actor: Actor;
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  readonly missed: Missed;
}

type ReadPart = (parts: Parts) => Promise<string>;

/** The files of a process's folder. Nothing here may read environ, mem or anything else that holds memory. */
const PARTS: readonly (readonly [name: string, read: ReadPart])[] = [
  [
    "status",
    async ({ at }) => (await readStart(`${at}/status`, FILE_BYTES)).split("\n").filter(isStatusLine).join("\n"),
  ],
  ["cmdline.json", readCmdline],
  ["tree.json", readTree],
  ["cgroup", ({ at }) => readStart(`${at}/cgroup`, FILE_BYTES)],
  ["namespaces.json", readNamespaces],
  ["limits", ({ at }) => readStart(`${at}/limits`, FILE_BYTES)],
  ["descriptors.json", async (parts) => json(await readDescriptors(parts))],
  ["sockets", readSockets],
  ["maps", readMaps],
  ["exe.json", readExe],
];

async function part(parts: Parts, name: string, read: ReadPart): Promise<string | undefined> {
  const left = parts.deadline - Date.now();
  if (left <= 0) {
    parts.missed(name, `the ${TOTAL_MS} ms of a capture were over`);
    return;
  }
  const work = read(parts);
  try {
    if (await settledWithin(work, left)) return await work;
    parts.missed(name, `it was not read before the ${TOTAL_MS} ms of a capture were over`);
  } catch (thrown) {
    parts.missed(name, vanished(thrown));
  }
  return;
}

function isStatusLine(line: string): boolean {
  return STATUS_LINES.test(line);
}

async function readCmdline({ at }: Parts): Promise<string> {
  const stat = parseStat(await readStart(`${at}/stat`, 4096));
  const bytes = await readStart(`${at}/cmdline`, FILE_BYTES);
  // A process that overwrote the end of its arguments makes the kernel go on into the environment behind them.
  const own = stat.argumentBytes === undefined ? bytes : bytes.slice(0, stat.argumentBytes);
  return json(
    own
      .replace(/\0$/, "")
      .split("\0")
      .map((each) => Buffer.from(each, "latin1").toString("utf8")),
  );
}

async function readTree({ at, actor, missed }: Parts): Promise<string> {
  const ancestry: object[] = [];
  const seen = new Set([actor.pid]);
  let { parentPid } = parseStat(await readStart(`${at}/stat`, 4096));
  while (parentPid > 0 && !seen.has(parentPid)) {
    seen.add(parentPid);
    const parent = await readRelative(parentPid);
    if (parent === undefined) {
      missed("tree.json", `parent ${parentPid} had ended`);
      break;
    }
    ancestry.push(parent);
    parentPid = parent.parentPid;
  }
  const children: object[] = [];
  for (const tid of await readdir(`${at}/task`)) {
    const pids = (await readStart(`${at}/task/${tid}/children`, FILE_BYTES)).trim().split(/\s+/).filter(Boolean);
    for (const pid of pids) {
      const child = await readRelative(Number(pid));
      if (child !== undefined) children.push(child);
    }
  }
  return json({ ancestry, children });
}

async function readRelative(pid: number) {
  try {
    const { comm, startTime, parentPid } = parseStat(await readStart(`/proc/${pid}/stat`, 4096));
    const exe = await readlink(`/proc/${pid}/exe`).catch(() => undefined);
    return { pid, startTime, parentPid, comm, ...(exe === undefined ? {} : { exe }) };
  } catch {
    // Vanished is normal.
    return;
  }
}

async function readNamespaces({ at }: Parts): Promise<string> {
  const names = (await readdir(`${at}/ns`)).toSorted();
  return json(
    Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readlink(`${at}/ns/${name}`)]))),
  );
}

async function readDescriptors({ at, missed, deadline }: Parts): Promise<{ fd: number; link: string }[]> {
  const fds = (await readdir(`${at}/fd`)).map(Number).toSorted((a, b) => a - b);
  if (fds.length > DESCRIPTORS) missed("descriptors.json", `only the first ${DESCRIPTORS} of ${fds.length} were read`);
  const descriptors: { fd: number; link: string }[] = [];
  for (const fd of fds.slice(0, DESCRIPTORS)) {
    if (Date.now() > deadline) break;
    const link = await readlink(`${at}/fd/${fd}`).catch(() => undefined);
    if (link !== undefined) descriptors.push({ fd, link });
  }
  return descriptors;
}

/** The lines of the socket tables that belong to the process, each behind the name of its table. */
async function readSockets(parts: Parts): Promise<string> {
  const { at, missed } = parts;
  const links = await readDescriptors({ ...parts, missed: () => {} });
  const inodes = new Set(links.map(({ link }) => /^socket:\[(\d+)\]$/.exec(link)?.[1]).filter(Boolean));
  const lines: string[] = [];
  for (const [table, column] of SOCKET_TABLES) {
    try {
      for await (const line of linesOf(`${at}/net/${table}`, parts.deadline)) {
        if (inodes.has(line.trim().split(/\s+/)[column])) lines.push(`${table} ${line.trim()}\n`);
      }
    } catch (thrown) {
      missed("sockets", `${table}: ${vanished(thrown)}`);
    }
  }
  return lines.join("");
}

async function* linesOf(path: string, deadline: number): AsyncGenerator<string> {
  const file = await open(path, constants.O_RDONLY);
  try {
    const buffer = Buffer.alloc(64 * 1024);
    let rest = "";
    for (;;) {
      if (Date.now() > deadline) throw new Error("the time was over before its end");
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      const lines = (rest + buffer.toString("latin1", 0, bytesRead)).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
    if (rest !== "") yield rest;
  } finally {
    await file.close();
  }
}

async function readMaps({ at, missed }: Parts): Promise<string> {
  const maps = await readStart(`${at}/maps`, FILE_BYTES);
  if (maps.length === FILE_BYTES) missed("maps", `cut at ${FILE_BYTES} bytes`);
  return Buffer.from(maps, "latin1").toString("utf8");
}

async function readExe({ at, actor, missed, deadline }: Parts): Promise<string> {
  const path = await readlink(`${at}/exe`);
  if ((await isExecutableServed(actor.pid, path)) === true) {
    missed("exe.json", "all but the path: a program answers for its file system, and could hold up rimon");
    return json({ path });
  }
  const file = await open(`${at}/exe`, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { size, dev, ino } = await file.stat();
    const known = { path, size, dev, inode: ino };
    if (size > EXE_BYTES) {
      missed("exe.json", `the sha256: ${size} bytes are more than the ${EXE_BYTES} that are hashed`);
      return json(known);
    }
    const hash = createHash("sha256");
    const buffer = Buffer.alloc(1024 * 1024);
    for (let position = 0; ;) {
      if (Date.now() > deadline) {
        missed("exe.json", "the sha256: the time was over before the end of the file");
        return json(known);
      }
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
    return json({ ...known, sha256: hash.digest("hex") });
  } finally {
    await file.close();
  }
}

/** The first `limit` bytes, a character a byte. */
async function readStart(path: string, limit: number): Promise<string> {
  const file = await open(path, constants.O_RDONLY);
  try {
    const chunks: Buffer[] = [];
    for (let size = 0; size < limit;) {
      const buffer = Buffer.alloc(Math.min(64 * 1024, limit - size));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      chunks.push(buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
    return Buffer.concat(chunks).toString("latin1");
  } finally {
    await file.close();
  }
}

interface Stat {
  readonly comm: string;
  readonly parentPid: number;
  readonly startTime: number;
  /** How long the arguments were at exec; undefined if the kernel does not tell us. */
  readonly argumentBytes?: number;
}

function parseStat(stat: string): Stat {
  // comm may hold ")" itself. Fields are counted as in proc_pid_stat(5); the one behind comm is the third.
  const end = stat.lastIndexOf(")");
  const fields = stat.slice(end + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  const [start, stop] = [field(48), field(49)];
  return {
    comm: Buffer.from(stat.slice(stat.indexOf("(") + 1, end), "latin1").toString("utf8"),
    parentPid: field(4),
    startTime: field(22),
    ...(start > 0 && stop >= start ? { argumentBytes: stop - start } : {}),
  };
}

/** A directory held by its descriptor, so that nobody can put a link in its place while it is written to. */
class Folder {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async openTop(path: string): Promise<Folder> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const folder = await Folder.#open(path);
    const { uid, mode } = await folder.#handle.stat();
    if (uid === process.geteuid?.() && (mode & 0o022) === 0) return folder;
    await folder.close();
    throw new RimonError("RIMON_ACTION", `expected ${path} to belong to rimon's user and to be written by nobody else`);
  }

  static async #open(path: string): Promise<Folder> {
    return new Folder(await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW));
  }

  get #path(): string {
    return `/proc/self/fd/${this.#handle.fd}`;
  }

  async make(name: string): Promise<Folder> {
    const path = `${this.#path}/${name}`;
    await mkdir(path, { mode: 0o700 });
    return Folder.#open(path);
  }

  async write(name: string, content: string): Promise<void> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(`${this.#path}/${name}`, flags, 0o600);
    try {
      await file.writeFile(Buffer.from(content).subarray(0, FILE_BYTES));
    } finally {
      await file.close();
    }
  }

  /** Removes the older captures; whatever else lies here is left alone. */
  async keepNewest(keep: number, current: string, underWay: ReadonlyMap<string, unknown>): Promise<void> {
    const names = (await readdir(this.#path)).filter(isCaptureName);
    const captures: string[] = [];
    for (const name of names) {
      const isCapture = await lstat(`${this.#path}/${name}/finding.json`).catch(() => undefined);
      if (isCapture !== undefined && name !== current && !underWay.has(name)) captures.push(name);
    }
    captures.sort();
    for (const name of captures.slice(0, Math.max(0, captures.length - (keep - 1)))) {
      await rm(`${this.#path}/${name}`, { recursive: true, force: true });
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

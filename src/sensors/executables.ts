// What the files are that processes run from: imports and tell-tale strings, read once per file, and the hash where an
// exception names one.

import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { reasonOf } from "../errors.ts";
import { readDynamicView, type DynamicView, type ReadAt } from "../function-map/elf.ts";
import { deviceOf } from "../mountinfo.ts";
import { KNOWN_DEBUGGERS, REACHING_IMPORTS } from "../known-debuggers.ts";
import type { ExecutableTraits, FileVersion, Process } from "../observation.ts";
import { isExecutableServed, isPathServed } from "../served-files.ts";
import { readerOf } from "./mapped-code.ts";
import { createMarkSearch, type MarkSearch } from "./marks.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

const MAX_WAITING = 1_024;
const MAX_KNOWN = 8_192;
const CHUNK = 1024 * 1024;
const MAX_SEARCHED = 128 * CHUNK;

const SERVED =
  "executables on file systems that a program answers for (FUSE) are not read, since a silent one would hold up rimon: a debugger there is known by its name alone";

const MARKS = KNOWN_DEBUGGERS.flatMap(({ name, marks = [] }) =>
  marks.map((mark) => ({ name, mark: Buffer.from(mark) })),
);

interface Lane {
  readonly waiting: Process[];
  readonly workers: Set<Promise<void>>;
  /** Files read at once. */
  readonly limit: number;
  busy: number;
}

function createLane(limit: number): Lane {
  return { waiting: [], workers: new Set(), limit, busy: 0 };
}

/** `hashed` gives the executables that exceptions name together with a hash. */
export function createExecutables(context: SensorContext, hashed: () => readonly string[]): Sensor {
  const name = "executables";
  const report = createStateReporter(context, name);
  const search = createMarkSearch(
    context.addon,
    MARKS.map(({ mark }) => mark),
  );
  /** What was identified. */
  const known = new Set<string>();
  /** What the files of exceptions were when they were hashed, by path. */
  const hashes = new Map<string, string>();
  /** Being read in one of the lanes. */
  const underWay = new Set<string>();
  // What was just started waits neither behind what has been running nor behind one that is large and takes long to read.
  const lanes = { started: createLane(4), running: createLane(1) };
  let skipped = 0;
  /** There were files that are not read. */
  let served = false;
  let stopped = false;

  /** Hashes the files of exceptions before they run, so that the hash is there when one acts. */
  async function hashNamed(): Promise<void> {
    for (const path of hashed()) {
      try {
        const stats = await stat(path, { bigint: true });
        if (hashes.get(path) !== changeOf(stats)) await identify(path, path);
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") report("degraded", `${path}: ${reasonOf(thrown)}`);
      }
    }
  }

  async function identify(source: string, path: string): Promise<void> {
    const handle = await open(source, "r");
    try {
      // Named by what was opened: the file may have been written or replaced since the process was seen.
      const [stats, traits] = await Promise.all([handle.stat({ bigint: true }), readTraits(handle, search)]);
      const file = versionOf(stats);
      const sha256 = hashed().includes(path) ? await hashFile(handle) : undefined;
      const changed = changeOf(stats);
      // Written to while it was hashed: the digest is of no file that ever was. The next pass comes back to it.
      const settled = sha256 !== undefined && changeOf(await handle.stat({ bigint: true })) === changed;
      if (settled) hashes.set(path, changed);
      remember(keyOf(file));
      context.emit({
        kind: "executable.identified",
        at: context.now(),
        sensor: name,
        file,
        path,
        traits,
        ...(settled ? { sha256, changedNs: String(stats.ctimeNs) } : {}),
      });
    } finally {
      await handle.close();
    }
  }

  /** Where it can be read; undefined: nowhere, since a program answers for it. */
  async function sourceOf(pid: number, exe: string, path: string, file: FileVersion): Promise<string | undefined> {
    const own = `/proc/${pid}/exe`;
    // What lies on a device is answered for by the kernel.
    if (!deviceOf(file.dev).startsWith("0:")) return own;
    const answer = await isExecutableServed(pid, exe);
    if (answer === false) return own;
    // The process is gone; the file is still there in most cases.
    if (answer === undefined && !(await isPathServed(path))) return path;
    return undefined;
  }

  async function settled(): Promise<void> {
    await Promise.all([...lanes.started.workers, ...lanes.running.workers]);
  }

  function remember(key: string): void {
    known.add(key);
    for (const oldest of known) {
      if (known.size <= MAX_KNOWN) break;
      known.delete(oldest);
    }
  }

  async function work(lane: Lane): Promise<void> {
    for (let process = lane.waiting.shift(); process !== undefined && !stopped; process = lane.waiting.shift()) {
      const { exe, exeFile } = process;
      if (exe === undefined || exeFile === undefined) continue;
      const key = keyOf(exeFile);
      if (known.has(key) || underWay.has(key)) continue;
      underWay.add(key);
      const path = exe.replace(/ \(deleted\)$/, "");
      const source = await sourceOf(process.pid, exe, path, exeFile);
      if (source === undefined) {
        served = true;
        remember(key);
      } else {
        await identify(source, path).catch(async () => {
          // It is gone by now. If neither it nor the file is there, there is nothing to read.
          if (source !== path && !(await isPathServed(path))) await identify(path, path).catch(() => remember(key));
        });
      }
      underWay.delete(key);
    }
    // In the same turn as the last look at what waits: what comes after it starts the next.
    lane.busy--;
  }

  return {
    name,
    sees: "debuggers under any name, by what their file imports and contains",
    needs: ["sys_ptrace"],
    async start() {
      await hashNamed();
      report("live");
    },
    async pass() {
      await hashNamed();
      if (served) report("degraded", SERVED);
      if (skipped === 0) return;
      context.emit({
        kind: "sensor.lost",
        at: context.now(),
        sensor: name,
        count: skipped,
        reason: "more new executables at once than could be read",
      });
      skipped = 0;
    },
    notice(observation) {
      if (observation.kind !== "process.seen") return;
      const { exeFile, kernelThread } = observation.process;
      if (kernelThread || exeFile === undefined || known.has(keyOf(exeFile))) return;
      const lane = observation.by === "exec" ? lanes.started : lanes.running;
      if (lane.waiting.length >= MAX_WAITING) {
        skipped++;
        return;
      }
      lane.waiting.push(observation.process);
      if (lane.busy >= lane.limit) return;
      lane.busy++;
      const worker = work(lane).finally(() => lane.workers.delete(worker));
      lane.workers.add(worker);
    },
    settled,
    async stop() {
      stopped = true;
      await settled();
    },
  };
}

function versionOf({ dev, ino, size, mtimeNs }: BigIntStats): FileVersion {
  return { dev: Number(dev), inode: Number(ino), size: Number(size), mtimeNs: String(mtimeNs) };
}

function keyOf({ dev, inode, size, mtimeNs }: FileVersion): string {
  return `${dev}:${inode}:${size}:${mtimeNs}`;
}

/** Differs after every write, also after one whose author put st_mtime back. */
function changeOf(stats: BigIntStats): string {
  return `${keyOf(versionOf(stats))}:${stats.ctimeNs}`;
}

async function readTraits(handle: FileHandle, search: MarkSearch): Promise<ExecutableTraits> {
  const read = await readerOf(handle);
  const view = await readDynamicView(read, REACHING_IMPORTS);
  if (view === undefined) return { imports: [], needed: [], marks: [] };
  const { imports } = view;
  const linked = KNOWN_DEBUGGERS.filter(({ needs }) =>
    needs?.some((library) => view.needed.some((name) => name.startsWith(library))),
  );
  const marks = linked.map(({ name }) => name);
  // Only a program that can reach into others, or hides what it imports, is worth reading from end to end.
  if (marks.length === 0 && (imports.length > 0 || isStatic(view)))
    marks.push(...(await findMarks(read, view, search)));
  return { imports, needed: view.needed.filter((name) => /^lib(?:lldb|r_debug|rz_debug|bpf|bcc)/.test(name)), marks };
}

function isStatic({ dynamic, needed }: DynamicView): boolean {
  return !dynamic && needed.length === 0;
}

async function findMarks(read: ReadAt, { constants }: DynamicView, search: MarkSearch): Promise<readonly string[]> {
  // Where linkers put strings first, behind the code as a rule; then everywhere, since nobody has to put them there.
  for (const { offset, size } of [...constants.toReversed(), { offset: 0, size: MAX_SEARCHED }]) {
    const end = offset + Math.min(size, MAX_SEARCHED);
    for (let position = offset; position < end; position += CHUNK - search.overlap) {
      const chunk = await read(position, Math.min(CHUNK, end - position));
      const found = search.in(chunk);
      if (found.length > 0) return [...new Set(found.flatMap((index) => MARKS[index]?.name ?? []))];
      // The event loop has other things to do.
      await nextTurn();
      if (chunk.length < CHUNK) break;
    }
  }
  return [];
}

async function hashFile(handle: FileHandle): Promise<string> {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(CHUNK);
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(chunk, 0, CHUNK, position);
    if (bytesRead === 0) return hash.digest("hex");
    hash.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
}

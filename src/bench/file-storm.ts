// Changes of files as fast as they come: what the C reader of the file watch takes without a loss, and what is lost and told;
// beside inotifywait on the same storm.

import { spawn } from "node:child_process";
import {
  closeSync,
  createReadStream,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { requireAddon } from "../native.ts";
import { decodeRecords } from "../records.ts";
import type { FilesDone, FilesOrder } from "./files-child.ts";
import { pause } from "./monitors.ts";
import { findProgram, ownProgram, run } from "./programs.ts";
import type { BenchContext } from "./result.ts";
import { exactly } from "./statistics.ts";

const THREADS = 2;
/** A file that is written after a storm, again and again until that is told: what came before it was told by then, or lost. */
const LAST = "the-last";
const LOOKS_EVERY_MS = 100;
const DRAINED_WITHIN_MS = 120_000;
const END_BYTES = 65_536;
const STARTS_WITHIN_MS = 10_000;
/** Events a second; undefined: as fast as it goes. */
const RATES = [240_000, 480_000, undefined];
const QUICK_RATES = [60_000, undefined];

/** What is done to each file. */
interface Kind {
  readonly name: string;
  readonly label: string;
  readonly writes: number;
  readonly moves: boolean;
}

const MOVED: Kind = { name: "moved", label: "made, written, closed, moved, removed", writes: 1, moves: true };
const KINDS: readonly Kind[] = [
  MOVED,
  { name: "brief", label: "made, written, closed, removed", writes: 1, moves: false },
  { name: "written", label: "made, written 16 times, closed, removed", writes: 16, moves: false },
];

/** As inotify counts them: created, written each time, closed, moved from and to, removed. */
const eventsOf = ({ writes, moves }: Kind): number => 3 + writes + (moves ? 2 : 0);

interface Stormed {
  readonly files: number;
  readonly perSecond: number;
}

interface Heard extends Stormed {
  /** Files of which something was not told. */
  readonly missing: number;
  readonly lost: number;
  /** That it lost some it said without their number. */
  readonly overflowed: boolean;
  /** CPU time of the thread that reads, for each event; undefined where the kernel does not say (CONFIG_SCHED_INFO). */
  readonly readerNs: number | undefined;
}

export async function fileStorms(context: BenchContext, mounted: string): Promise<void> {
  let untold = 0;
  for (const kind of KINDS) {
    const heard: Heard[] = [];
    for (const rate of context.quick ? QUICK_RATES : RATES) {
      const speed = rate === undefined ? "as fast as it goes" : `${rate} events a second`;
      context.progress(`files ${kind.label}: ${speed}`);
      context.signal.throwIfAborted();
      heard.push(await hear(context, mounted, `${kind.name}-${rate ?? "all"}`, kind, rate));
    }
    say(context, kind, heard);
    untold = Math.max(untold, ...heard.map((each) => each.missing - (each.overflowed ? each.missing : each.lost)));
  }
  context.figure({
    id: "events/untold",
    label: "files of whose changes something was lost untold",
    unit: "files",
    estimate: exactly(Math.max(0, untold)),
  });
  await inotifywait(context, mounted);
}

function say(context: BenchContext, { name, label }: Kind, heard: readonly Heard[]): void {
  const whole = heard.filter(({ missing, lost, overflowed }) => missing === 0 && lost === 0 && !overflowed);
  context.figure({
    id: `events/${name}/held`,
    label: `events of files ${label}, held without a loss`,
    unit: "a second",
    estimate: exactly(Math.max(0, ...whole.map(({ perSecond }) => perSecond))),
    better: "higher",
  });
  const fastest = heard.at(-1);
  if (fastest === undefined) return;
  const told = `told: ${fastest.lost}${fastest.overflowed ? " and an overflow" : ""}`;
  context.figure({
    id: `events/${name}/lost`,
    label: `of these, of whose changes something was lost at ${Math.round(fastest.perSecond)} events a second, as fast as it went (${told})`,
    unit: "% of all",
    estimate: exactly((fastest.missing / fastest.files) * 100),
    better: "neither",
  });
  if (fastest.readerNs === undefined)
    return context.leftOut(`events/${name}/reader`, "CPU time of the reader", "/proc/self/task/*/schedstat has none");
  context.figure({
    id: `events/${name}/reader`,
    label: "of these, CPU time of the thread that reads, for each event, as fast as it went",
    unit: "µs",
    estimate: exactly(fastest.readerNs / 1e3),
  });
}

async function stormOn(context: BenchContext, root: string, kind: Kind, rate: number | undefined): Promise<Stormed> {
  const seconds = context.quick ? 0.5 : 2;
  const events = eventsOf(kind);
  const perSecond = rate === undefined ? undefined : Math.round(rate / events / THREADS);
  const files = perSecond === undefined ? (context.quick ? 10_000 : 60_000) : Math.round(perSecond * seconds);
  const { writes, moves } = kind;
  const order: FilesOrder = {
    what: "storm",
    root,
    files,
    writes,
    moves,
    ...(perSecond === undefined ? {} : { perSecond }),
  };
  const said = await run(process.execPath, [...ownProgram("bench/files-child"), JSON.stringify(order)], {
    signal: context.signal,
  });
  const { entries, wallMs } = JSON.parse(said) as FilesDone;
  return { files: entries, perSecond: (entries * events) / ((wallMs[0] ?? Number.NaN) / 1_000) };
}

async function untilTold({ signal }: BenchContext, root: string, isTold: () => boolean): Promise<void> {
  const touch = findProgram("touch");
  if (touch === undefined) throw new Error("touch is not installed");
  const until = performance.now() + DRAINED_WITHIN_MS;
  do {
    if (performance.now() > until)
      throw new Error(`what was changed was not taken in within ${DRAINED_WITHIN_MS / 1_000} s`);
    // By another process: a monitor leaves out what it does itself.
    await run(touch, [join(root, LAST)], { signal });
    await pause(LOOKS_EVERY_MS, signal);
  } while (!isTold());
}

async function hear(
  context: BenchContext,
  mounted: string,
  name: string,
  kind: Kind,
  rate: number | undefined,
): Promise<Heard> {
  const root = join(mounted, name);
  mkdirSync(root);
  const { addon } = requireAddon();
  const procfs = addon.openProcfs();
  // Kept as they came: to decode them would take the processor from the reader.
  const batches: Buffer[] = [];
  const watch = addon.openWatch({ connector: false, files: false }, procfs, (batch) => void batches.push(batch));
  try {
    watch.openChanges();
    watch.aimChanges([root], []);
    watch.markChanges(root);
    const before = readerNs();
    const stormed = await stormOn(context, root, kind, rate);
    let looked = 0;
    const isTold = (batch: Buffer): boolean =>
      decodeRecords(batch).some(
        (record) => record.kind === "file-change" && record.path.equals(Buffer.from(join(root, LAST))),
      );
    await untilTold(context, root, () => {
      const from = looked;
      looked = batches.length;
      return batches.slice(from, looked).some(isTold);
    });
    const after = readerNs();
    const events = stormed.files * eventsOf(kind);
    const each = !before || !after ? undefined : (after - before) / events;
    return { ...stormed, ...told(batches, root, kind, stormed.files), readerNs: each };
  } finally {
    watch.close();
    procfs.close();
  }
}

/** CPU time of this process's thread that reads changes of files (native/file_watch.c). */
function readerNs(): number | undefined {
  const tasks = "/proc/self/task";
  try {
    const reader = readdirSync(tasks).find(
      (task) => readFileSync(join(tasks, task, "comm"), "latin1").trim() === "rimon-files",
    );
    return reader === undefined
      ? undefined
      : Number(readFileSync(join(tasks, reader, "schedstat"), "latin1").split(" ")[0]);
  } catch {
    return undefined;
  }
}

const [CREATED, WRITTEN, CLOSED, MOVES, REMOVED] = [1, 2, 4, 8, 16];

/** Each file must have been told to have been made, written, closed, moved if it was, and removed. */
function told(
  batches: readonly Buffer[],
  root: string,
  { moves }: Kind,
  files: number,
): Pick<Heard, "missing" | "lost" | "overflowed"> {
  const all = CREATED | WRITTEN | CLOSED | REMOVED | (moves ? MOVES : 0);
  const seen = new Map<string, number>();
  let [lost, overflowed] = [0, false];
  for (const record of batches.flatMap((batch) => decodeRecords(batch))) {
    if (record.kind === "lost") {
      if (record.count === undefined) overflowed = true;
      else lost += record.count;
    }
    if (record.kind !== "file-change") continue;
    const path = record.path.toString("latin1");
    if (!path.startsWith(`${root}/`) || path.endsWith(LAST)) continue;
    const name = path.slice(root.length + 1).replace(/\.new$/, "");
    const bits =
      (record.created ? CREATED : 0) |
      (record.written ? WRITTEN : 0) |
      (record.closed ? CLOSED : 0) |
      (record.moved ? MOVES : 0) |
      (record.removed ? REMOVED : 0);
    seen.set(name, (seen.get(name) ?? 0) | bits);
  }
  const whole = [...seen.values()].filter((bits) => (bits & all) === all).length;
  return { missing: files - whole, lost, overflowed };
}

async function inotifywait(context: BenchContext, mounted: string): Promise<void> {
  const program = findProgram("inotifywait");
  if (program === undefined)
    return context.leftOut("events/inotifywait", "inotifywait", "inotifywait is not installed (Debian: inotify-tools)");
  context.progress("changes of files, inotifywait");
  const root = join(mounted, "storm-inotifywait");
  const output = join(context.folder, "inotifywait");
  mkdirSync(root);
  const into = openSync(output, "w");
  const events = "create,modify,close_write,move,delete";
  const child = spawn(program, ["-m", "-r", "-e", events, "--format", "%e %f", root], {
    stdio: ["ignore", into, "pipe"],
  });
  closeSync(into);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  try {
    await established(child.stderr);
    const stormed = await stormOn(context, root, MOVED, undefined);
    await untilTold(context, root, () => endOf(output).includes(LAST));
    const lines = await linesIn(output);
    context.figure({
      id: "events/inotifywait/lost",
      label: `inotifywait -m -r, lost at ${Math.round(stormed.perSecond)} events a second, as fast as it went`,
      unit: "% of all",
      estimate: exactly((1 - lines / (stormed.files * eventsOf(MOVED))) * 100),
      better: "neither",
    });
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}

function established(stderr: NodeJS.ReadableStream | null): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    const late = setTimeout(() => reject(new Error(`inotifywait did not begin: ${said}`)), STARTS_WITHIN_MS);
    stderr?.on("data", (text: Buffer) => {
      said += text.toString();
      if (!said.includes("established")) return;
      clearTimeout(late);
      resolve();
    });
  });
}

function endOf(file: string): string {
  const from = Math.max(0, statSync(file).size - END_BYTES);
  const descriptor = openSync(file, "r");
  try {
    const bytes = Buffer.alloc(END_BYTES);
    return bytes.toString("latin1", 0, readSync(descriptor, bytes, 0, END_BYTES, from));
  } finally {
    closeSync(descriptor);
  }
}

/** But for those of the last file. */
async function linesIn(file: string): Promise<number> {
  let lines = 0;
  for await (const line of createInterface({ input: createReadStream(file) })) if (!line.endsWith(LAST)) lines++;
  return lines;
}

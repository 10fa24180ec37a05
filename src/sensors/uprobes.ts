// Uprobes on the code of protected processes, whenever they were set: what the kernel tells of every uprobe of the node,
// against the places where that code is not its file's.

import { statSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { reasonOf } from "../errors.ts";
import { readPlaces } from "../function-map/symbols.ts";
import { processKey, type FileId, type ProcessId } from "../observation.ts";
import type { CodePagesRecord, UprobeRecord, UprobesRecord } from "../record.ts";
import { decodeRecords } from "../records.ts";
import { openMappedCode } from "./mapped-code.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

type Page = CodePagesRecord["pages"][number];
type Errors = UprobesRecord["errors"];

interface Probe extends UprobeRecord {
  /** The file it is on, if its name still leads there. */
  readonly file: FileId | undefined;
}

/** One that is in the code of a certain process. */
interface SetProbe {
  readonly page: Page;
  readonly probe: Probe;
}

const EVERY_MS = 30_000;
const MAX_PLACES = 16;
const NOTHING: Errors = { descriptors: 0, links: 0, events: 0 };
const ASKED: Readonly<Record<keyof Errors, string>> = {
  descriptors: "what perf events of processes are on",
  links: "what eBPF links are on",
  events: "which events are defined in tracefs",
};

export function createUprobes(context: SensorContext): Sensor {
  const name = "uprobes";
  const report = createStateReporter(context, name);
  /** By process, file and source, the places that were told of. */
  let told = new Map<string, string>();
  let last = Number.NEGATIVE_INFINITY;

  async function pass(full: boolean): Promise<void> {
    const at = context.now();
    if (!full && at - last < EVERY_MS) return;
    last = at;
    try {
      const records = decodeRecords(await context.procfs.uprobes());
      const probes = heldFirst(records.filter((record) => record.kind === "uprobe"));
      const next = new Map<string, string>();
      for (const id of probes.length === 0 ? [] : context.protectedProcesses()) await look(id, probes, next);
      told = next;
      reportErrors(records.find((record) => record.kind === "uprobes")?.errors ?? NOTHING);
    } catch (thrown) {
      report("degraded", reasonOf(thrown));
    }
  }

  async function look(id: ProcessId, probes: readonly Probe[], next: Map<string, string>): Promise<void> {
    for (const record of decodeRecords(await context.procfs.codePages(id.pid))) {
      if (record.kind !== "code-pages" || record.startTime !== id.startTime) continue;
      for (const [source, set] of groupBySource(record.pages, probes)) {
        const key = `${processKey(id)} ${source}`;
        const places = set.map(({ probe }) => `${probe.offset} ${probe.returns}`).join(" ");
        next.set(key, places);
        if (told.get(key) !== places) await tell(id, set);
      }
    }
  }

  async function tell(id: ProcessId, set: readonly SetProbe[]): Promise<void> {
    const [first] = set;
    if (first === undefined) return;
    const { source, name: event, holder } = first.probe;
    const shown = set.slice(0, MAX_PLACES).map(({ probe }) => probe);
    const places = await placesOf(
      id.pid,
      first.page,
      shown.map(({ offset }) => offset),
    );
    context.emit({
      kind: "uprobe.seen",
      at: context.now(),
      sensor: name,
      ...id,
      path: first.page.path,
      file: first.page.file,
      probes: shown.map(({ offset, returns }) => {
        const place = places.get(offset);
        return { offset, ...(place === undefined ? {} : { place }), returns };
      }),
      count: set.length,
      by: source,
      ...(event === undefined ? {} : { name: event }),
      ...(holder === undefined ? {} : { byPid: holder.pid, byStartTime: holder.startTime }),
    });
  }

  function reportErrors(errors: Errors): void {
    const failed = (Object.keys(ASKED) as (keyof Errors)[]).filter((each) => errors[each] !== 0);
    if (failed.length === 0) return report("live");
    const reasons = failed.map((each) => `${getSystemErrorName(-errors[each])}: ${ASKED[each]} is not told`);
    report(failed.length === Object.keys(ASKED).length ? "unavailable" : "degraded", reasons.join("; "));
  }

  return {
    name,
    sees: "uprobes on the code of protected processes that are set, also since before rimon started: file, function and who holds them",
    needs: ["sys_admin"],
    start: () => pass(true),
    pass,
    notice(observation) {
      // One was set or removed just now; what program it gets, whoever sets it says next.
      if (observation.kind === "memory.touched" && observation.operation === "uprobe") last = Number.NEGATIVE_INFINITY;
    },
    async stop() {},
  };
}

/** What nobody holds only where nobody is known to hold the same. */
function heldFirst(records: readonly UprobeRecord[]): readonly Probe[] {
  const placeIn = ({ path, offset }: UprobeRecord): string => `${offset} ${path}`;
  const held = records.filter(({ holder }) => holder !== undefined);
  const places = new Set(held.map(placeIn));
  const others = records.filter((record) => record.holder === undefined && !places.has(placeIn(record)));
  return [...held, ...others].map((record) => ({ ...record, file: fileOf(record) }));
}

/** Its name is one in the mount namespace of whoever set it. */
function fileOf({ path, holder }: UprobeRecord): FileId | undefined {
  const root = holder === undefined ? "" : `/proc/${holder.pid}/${path.startsWith("/") ? "root" : "cwd/"}`;
  try {
    const { dev, ino } = statSync(`${root}${path}`);
    return { dev, inode: ino };
  } catch {
    return undefined; // It was removed, or its holder is gone: its name is what is left.
  }
}

/** Whether it is in the code of this very process: a uprobe may be meant for another that has the same file mapped. */
function isSetIn({ file, path, offset, size, changes }: Page, probe: Probe): boolean {
  if (probe.offset < offset || probe.offset >= offset + size) return false;
  const isOfFile = probe.file?.dev === file.dev && probe.file.inode === file.inode;
  if (!isOfFile && probe.path !== path) return false;
  // Where the page cannot be compared with its file, that it is a copy is all there is.
  return (
    changes?.some((change) => change.offset <= probe.offset && probe.offset < change.offset + change.length) ?? true
  );
}

/** Those of one holder, or one event, on one file. */
function groupBySource(pages: readonly Page[], probes: readonly Probe[]): ReadonlyMap<string, readonly SetProbe[]> {
  const groups = new Map<string, SetProbe[]>();
  for (const page of pages) {
    for (const probe of probes) {
      if (!isSetIn(page, probe)) continue;
      const { source, name = "", holder } = probe;
      const by = holder === undefined ? `${source} ${name}` : processKey(holder);
      const key = `${page.file.dev}:${page.file.inode} ${by}`;
      const group = groups.get(key) ?? [];
      groups.set(key, group);
      // One probe may have a perf event for each processor, and a link.
      if (!group.some((each) => each.probe.offset === probe.offset && each.probe.returns === probe.returns))
        group.push({ page, probe });
    }
  }
  return groups;
}

async function placesOf(
  pid: number,
  page: Page,
  offsets: readonly number[],
): Promise<Awaited<ReturnType<typeof readPlaces>>> {
  const { code, read, close } = await openMappedCode(pid, page);
  try {
    return code === undefined ? new Map() : await readPlaces(code, read, offsets);
  } finally {
    await close();
  }
}

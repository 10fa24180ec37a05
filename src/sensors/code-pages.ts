// The pages of code of every protected process that no longer come from their file, looked for at every pass and told
// when their bytes are other than at the last.

import { reasonOf } from "../errors.ts";
import { isRelocated, isWrittenByProgram, type CodeFile } from "../function-map/code-file.ts";
import { readPlaces } from "../function-map/symbols.ts";
import { processKey, type CodeChange, type MemoryOperation, type ProcessId } from "../observation.ts";
import type { CodePagesRecord } from "../record.ts";
import { decodeRecords } from "../records.ts";
import { createLooks } from "./looks.ts";
import { openCode, openMappedCode, type MappedCode } from "./mapped-code.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

type Page = CodePagesRecord["pages"][number];
type PagesOfFile = readonly [Page, ...Page[]];

const MAX_CHANGES = 16;
/** When it is looked again at what was written to. */
const AFTER_MS = [3, 20, 100] as const;
const WRITES: ReadonlySet<MemoryOperation> = new Set(["vm-write", "poke", "mem-write", "uprobe"]);

export function createCodePages(context: SensorContext): Sensor {
  const name = "code-pages";
  const report = createStateReporter(context, name);
  /** Per process the pages that are copies, and what was found in each. */
  let known = new Map<string, ReadonlyMap<string, string>>();
  const looks = createLooks(async (id) => {
    known.set(processKey(id), (await look(id)).pages);
  }, AFTER_MS);

  /** Node compiles what it runs for the first time: not when the first change is to be told, so it names code of ours now. */
  async function rehearse(): Promise<void> {
    const [path = ""] = context.addonPaths;
    const { code, read: readAt, close } = await openCode(path);
    const offsets = (code?.sections ?? []).flatMap(({ executable, offset }) => (executable ? [offset] : []));
    if (code !== undefined) await readPlaces(code, readAt, offsets).catch(() => undefined);
    await close();
  }

  function pass(): Promise<void> {
    return looks.next(lookAtAll);
  }

  async function lookAtAll(): Promise<void> {
    const next: typeof known = new Map();
    const failures: string[] = [];
    for (const id of context.protectedProcesses()) {
      try {
        const { pages, unread, readable } = await look(id);
        next.set(processKey(id), pages);
        if (!readable)
          failures.push(`${id.pid}: its memory may not be read, so that it was changed is all that is seen`);
        else if (unread > 0) failures.push(`${id.pid}: ${unread} more pages of its code are copies than are compared`);
      } catch (thrown) {
        failures.push(`${id.pid}: ${reasonOf(thrown)}`);
      }
    }
    known = next;
    if (failures.length === 0) report("live");
    else report("degraded", `the code of ${failures.length} protected processes cannot be compared (${failures[0]})`);
  }

  async function look(
    id: ProcessId,
  ): Promise<{ pages: ReadonlyMap<string, string>; unread: number; readable: boolean }> {
    const before = known.get(processKey(id)) ?? new Map<string, string>();
    const isNew = (page: Page): boolean => before.get(page.page) !== contentOf(page);
    const first = await read(id);
    const suspected = first.pages.find(isNew);
    if (suspected === undefined) return { ...first, pages: contentsOf(first.pages) };
    // What tells whose code it is, in most cases all of one file, is read meanwhile.
    const ahead = openMappedCode(id.pid, suspected);
    try {
      // While a process executes another program, or a debugger steps, one reading may mix two states.
      const copies = new Set(first.pages.map(({ page }) => page));
      const pages = (await read(id)).pages.filter(({ page }) => copies.has(page));
      for (const ofOneFile of groupByFile(pages.filter(isNew))) {
        if (fileOf(ofOneFile[0]) === fileOf(suspected)) await tell(id, ofOneFile, await ahead);
        else await openAndTell(id, ofOneFile);
      }
      return { ...first, pages: contentsOf(pages) };
    } finally {
      await (await ahead).close();
    }
  }

  async function read({ pid, startTime }: ProcessId): Promise<Pick<CodePagesRecord, "pages" | "unread" | "readable">> {
    for (const record of decodeRecords(await context.procfs.codePages(pid)))
      if (record.kind === "code-pages" && record.startTime === startTime) return record;
    return { pages: [], unread: 0, readable: true };
  }

  async function openAndTell(id: ProcessId, pages: PagesOfFile): Promise<void> {
    const file = await openMappedCode(id.pid, pages[0]);
    try {
      await tell(id, pages, file);
    } finally {
      await file.close();
    }
  }

  async function tell(id: ProcessId, pages: PagesOfFile, { code, read: readAt }: MappedCode): Promise<void> {
    const at = context.now();
    const foreign = pages.flatMap((page) => withoutOwnWrites(page, code) ?? []);
    const offsets = foreign.flatMap(({ changes }) => (changes ?? []).slice(0, MAX_CHANGES).map(({ offset }) => offset));
    const places = code === undefined ? new Map<number, never>() : await readPlaces(code, readAt, offsets);
    for (const { mapping: _, changes, ...page } of foreign) {
      context.emit({
        kind: "code-page.seen",
        at,
        sensor: name,
        ...id,
        ...page,
        ...(changes === undefined
          ? {}
          : { changes: changes.slice(0, MAX_CHANGES).map((change) => placed(change, places.get(change.offset))) }),
        ...(code?.machine === undefined ? {} : { machine: code.machine }),
      });
    }
  }

  return {
    name,
    sees: "breakpoints, detours and other changes in the code of protected processes, for as long as they stay",
    needs: ["sys_ptrace"],
    async start() {
      await pass();
      // Nothing that starts waits for it, and a look does.
      void looks.next(rehearse);
    },
    pass,
    notice(observation) {
      // A new image has new pages under the same pid.
      if (observation.kind === "process.seen" && observation.by === "exec")
        known.delete(processKey(observation.process));
      // Somebody writes to its memory: its code is looked at now, not at the next pass.
      if (observation.kind === "memory.touched" && WRITES.has(observation.operation))
        looks.soon({ pid: observation.pid, startTime: observation.startTime });
    },
    stop: looks.stop,
  };
}

function contentOf({ differing, changes }: Page): string {
  return `${differing ?? "?"} ${(changes ?? []).map(({ address, length, found }) => `${address} ${length} ${found}`).join(" ")}`;
}

function contentsOf(pages: readonly Page[]): ReadonlyMap<string, string> {
  return new Map(pages.map((page) => [page.page, contentOf(page)]));
}

function fileOf({ file }: Page): string {
  return `${file.dev}:${file.inode}`;
}

function groupByFile(pages: readonly Page[]): readonly PagesOfFile[] {
  const groups = new Map<string, [Page, ...Page[]]>();
  for (const page of pages) {
    const key = fileOf(page);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [page]);
    else group.push(page);
  }
  return [...groups.values()];
}

/** The page with only the changes that neither the program nor its loader makes; undefined if there are no others. */
function withoutOwnWrites(page: Page, code: CodeFile | undefined): Page | undefined {
  const writable = page.permissions.includes("w");
  // What is no ELF file and mapped writable is data or compiled code: that it is both is told by its mapping.
  if (code === undefined ? writable : isWrittenByProgram(code, page, writable)) return undefined;
  if (code === undefined || page.changes === undefined) return page;
  const changes = page.changes.filter((change) => !isRelocated(code, change));
  if (changes.length > 0) return { ...page, changes };
  const end = page.offset + page.size;
  return code.relocated.some((at) => at >= page.offset && at < end) ? undefined : page;
}

function placed(change: CodeChange, place: CodeChange["place"]): CodeChange {
  return place === undefined ? change : { ...change, place };
}

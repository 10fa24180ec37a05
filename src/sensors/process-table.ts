// Every process of the node, once an interval, and who traces a thread of the protected ones: the slow truth beside the
// event sources. The kernel walks its tasks for it where it lets eBPF do so; elsewhere /proc is read.

import { reasonOf } from "../errors.ts";
import { WANT } from "../native.ts";
import type { ProcessId } from "../observation.ts";
import type { ProcessIdentity, ProcessTable, ThreadRecord } from "../record.ts";
import { decodeRecords, decodeTable } from "../records.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

const DETAILS = WANT.status | WANT.exe | WANT.cmdline | WANT.cgroup | WANT.namespaces;

/** A process that moves into another mount namespace tells nobody; it may have a procfs there. */
const NAMESPACES_EVERY_MS = 5_000;

/** One walk of the kernel over its tasks. */
interface Walk {
  readonly batch: Buffer;
  readonly table: ProcessTable;
  readonly pids: ReadonlySet<number>;
}

export function createProcessTable(context: SensorContext): Sensor {
  const name = "process-table";
  const report = createStateReporter(context, name);
  /** Why the kernel does not walk its tasks for us; after one refusal it is not asked again. */
  let noWalk: string | undefined;
  const known = new Map<number, ProcessIdentity>();
  let latest: Walk | undefined;
  /** Seen by an event alone, with their start times: if an exit is lost, only a pass can tell that they are gone. */
  const noticed = new Map<number, number>();
  const tracers = new Map<string, number>();
  let namespacesAt = Number.NEGATIVE_INFINITY;

  async function pass(full: boolean): Promise<void> {
    const at = context.now();
    try {
      const noticedBefore = [...noticed];
      const walk = await walkTasks();
      const scanned = await readProcfs(...scanFor(walk, at, full));
      const beside = decodeTable(scanned).processes.filter(({ pid }) => walk?.pids.has(pid) !== true);
      const besidePids = new Set(beside.map(({ pid }) => pid));
      const fresh: ProcessIdentity[] = [];
      const gone = new Map<string, ProcessId>();
      const tellGone = (id: ProcessId): void => void gone.set(`${id.pid}:${id.startTime}`, id);
      // A walk that says what the one before said says nothing new.
      for (const now of [...(walk === latest ? [] : (walk?.table.processes ?? [])), ...beside]) {
        const before = known.get(now.pid);
        const entry = before === undefined ? now : completed(now, before);
        if (before !== undefined && isSame(before, entry)) continue;
        if (before !== undefined && before.startTime !== now.startTime) tellGone(before);
        fresh.push(entry);
      }
      const freshPids = fresh.map(({ pid }) => pid);
      const details = decodeRecords(full ? scanned : await readProcfs(DETAILS, freshPids));
      // From here on nothing fails, or it would be forgotten.
      for (const each of fresh) known.set(each.pid, each);
      for (const each of known.values()) {
        if (walk?.pids.has(each.pid) === true || besidePids.has(each.pid)) continue;
        known.delete(each.pid);
        tellGone(each);
      }
      for (const [pid, startTime] of noticedBefore) {
        if (noticed.get(pid) === startTime) noticed.delete(pid);
        if (known.get(pid)?.startTime !== startTime) tellGone({ pid, startTime });
      }
      latest = walk;
      for (const record of details) {
        if (record.kind !== "process") continue;
        context.emit({ kind: "process.seen", at, sensor: name, by: "scan", process: record.process });
      }
      for (const { pid, startTime } of gone.values())
        context.emit({ kind: "process.exited", at: context.now(), sensor: name, pid, startTime });
      // Who is protected is known only now.
      const pids = context.protectedProcesses().map(({ pid }) => pid);
      takeTraced((walk?.table ?? decodeTable(await readProcfs(WANT.traced, pids))).threads);
      report("live");
    } catch (thrown) {
      report("down", reasonOf(thrown));
    }
  }

  /** What is read of /proc, and of which processes: beside a walk those it leaves out, which are gone, or kept from it. */
  function scanFor(walk: Walk | undefined, at: number, full: boolean): [number, number[]?] {
    if (full) return [DETAILS];
    if (walk !== undefined)
      return [WANT.namespaces, [...known.keys(), ...noticed.keys()].filter((pid) => !walk.pids.has(pid))];
    // With exec events a name or a start time that changed is all there is to look for; without them the file is.
    const want = context.isLive("proc-connector") ? 0 : WANT.exe;
    if (at - namespacesAt < NAMESPACES_EVERY_MS) return [want];
    namespacesAt = at;
    return [want | WANT.namespaces];
  }

  async function walkTasks(): Promise<Walk | undefined> {
    if (noWalk !== undefined) return undefined;
    try {
      const batch = await context.procfs.walk(WANT.namespaces | WANT.traced);
      if (latest?.batch.equals(batch) === true) return latest;
      const table = decodeTable(batch);
      return { batch, table, pids: new Set(table.processes.map(({ pid }) => pid)) };
    } catch (thrown) {
      noWalk = reasonOf(thrown);
      return undefined;
    }
  }

  async function readProcfs(want: number, pids?: readonly number[]): Promise<Buffer> {
    if (pids?.length === 0) return Buffer.alloc(0);
    return context.procfs.scan(want, pids === undefined ? undefined : Uint32Array.from(pids));
  }

  function takeTraced(threads: readonly ThreadRecord[]): void {
    const at = context.now();
    const traced = new Set<string>();
    for (const { pid, startTime, tid, tracerPid } of threads) {
      if (!context.isProtected(pid)) continue;
      const key = `${pid}:${startTime}:${tid}`;
      traced.add(key);
      if (tracers.get(key) === tracerPid) continue;
      tracers.set(key, tracerPid);
      context.emit({ kind: "ptrace.attached", at, sensor: name, pid, tid, tracerPid, startTime });
    }
    for (const key of tracers.keys()) {
      if (traced.has(key)) continue;
      tracers.delete(key);
      const [pid, , tid] = key.split(":").map(Number);
      if (pid !== undefined && tid !== undefined) context.emit({ kind: "ptrace.detached", at, sensor: name, pid, tid });
    }
  }

  return {
    name,
    get sees() {
      const how = noWalk === undefined ? "the kernel's own walk of its tasks" : `/proc (${noWalk})`;
      return `every process by ${how}; tracers of every thread of protected processes; programs by what their file is`;
    },
    needs: ["sys_ptrace"],
    start: () => pass(true),
    pass,
    notice(observation) {
      if (observation.kind === "process.exited") noticed.delete(observation.pid);
      if (observation.kind !== "process.seen" || observation.sensor === name) return;
      noticed.set(observation.process.pid, observation.process.startTime);
    },
    async stop() {},
  };
}

/** What this reading of a process did not ask for is as the one before had it. */
function completed(now: ProcessIdentity, before: ProcessIdentity): ProcessIdentity {
  const { execId = before.execId, exeInode = before.exeInode, mountNamespace = before.mountNamespace } = now;
  const isComplete = execId === now.execId && exeInode === now.exeInode && mountNamespace === now.mountNamespace;
  return isComplete ? now : { ...now, execId, exeInode, mountNamespace };
}

function isSame(before: ProcessIdentity, now: ProcessIdentity): boolean {
  return (
    before.startTime === now.startTime &&
    before.comm === now.comm &&
    before.parentPid === now.parentPid &&
    before.execId === now.execId &&
    before.exeInode === now.exeInode &&
    before.mountNamespace === now.mountNamespace
  );
}

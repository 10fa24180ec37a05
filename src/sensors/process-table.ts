// Every process of the node, once an interval, and who traces a thread of the protected ones: the slow truth beside the
// event sources. The kernel walks its tasks for it where it lets eBPF do so; elsewhere /proc is read.

import { reasonOf } from "../errors.ts";
import { WANT } from "../native.ts";
import type { NativeRecord } from "../record.ts";
import { decodeRecords } from "../records.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

const DETAILS = WANT.status | WANT.exe | WANT.cmdline | WANT.cgroup | WANT.namespaces;

/** A process that moves into another mount namespace tells nobody; it may have a procfs there. */
const NAMESPACES_EVERY_MS = 5_000;

interface Known {
  readonly startTime: number;
  readonly comm: string;
  readonly parentPid: number;
  readonly execId: number | undefined;
  readonly exeInode: number | undefined;
  readonly mountNamespace: number | undefined;
}

export function createProcessTable(context: SensorContext): Sensor {
  const name = "process-table";
  const report = createStateReporter(context, name);
  /** Why the kernel does not walk its tasks for us; after one refusal it is not asked again. */
  let noWalk: string | undefined;
  let known = new Map<number, Known>();
  /** Seen by an event alone, with their start times: if an exit is lost, only a pass can tell that they are gone. */
  const noticed = new Map<number, number>();
  const tracers = new Map<string, number>();
  let namespacesAt = Number.NEGATIVE_INFINITY;

  async function pass(full: boolean): Promise<void> {
    const at = context.now();
    try {
      const noticedBefore = [...noticed];
      const walked = await walkTasks();
      const scanned = await readProcfs(...scanFor(walked, at, full));
      const fresh: number[] = [];
      const next = new Map<number, Known>();
      for (const record of [...(walked ?? []), ...scanned]) {
        if (record.kind !== "process" || next.has(record.process.pid)) continue;
        const { process, execId } = record;
        const before = known.get(process.pid);
        const entry: Known = {
          startTime: process.startTime,
          comm: process.comm,
          parentPid: process.parentPid,
          execId: execId ?? before?.execId,
          exeInode: process.exeFile?.inode ?? before?.exeInode,
          mountNamespace: process.mountNamespace ?? before?.mountNamespace,
        };
        next.set(process.pid, entry);
        if (before === undefined || !isSame(before, entry)) fresh.push(process.pid);
      }
      for (const record of full ? scanned : await readProcfs(DETAILS, fresh)) {
        if (record.kind !== "process") continue;
        context.emit({ kind: "process.seen", at, sensor: name, by: "scan", process: record.process });
      }
      const before = [...known].map(([pid, { startTime }]) => [pid, startTime] as const);
      for (const [pid, startTime] of [...before, ...noticedBefore]) {
        if (noticed.get(pid) === startTime) noticed.delete(pid);
        if (next.get(pid)?.startTime === startTime) continue;
        context.emit({ kind: "process.exited", at: context.now(), sensor: name, pid, startTime });
      }
      known = next;
      // Who is protected is known only now.
      const pids = context.protectedProcesses().map(({ pid }) => pid);
      takeTraced(walked ?? (await readProcfs(WANT.traced, pids)));
      report("live");
    } catch (thrown) {
      report("down", reasonOf(thrown));
    }
  }

  /** What is read of /proc, and of which processes: beside a walk those it leaves out, which are gone, or kept from it. */
  function scanFor(walked: readonly NativeRecord[] | undefined, at: number, full: boolean): [number, number[]?] {
    if (full) return [DETAILS];
    if (walked !== undefined) {
      const seen = new Set(walked.flatMap((record) => (record.kind === "process" ? [record.process.pid] : [])));
      return [WANT.namespaces, [...known.keys(), ...noticed.keys()].filter((pid) => !seen.has(pid))];
    }
    // With exec events a name or a start time that changed is all there is to look for; without them the file is.
    const want = context.isLive("proc-connector") ? 0 : WANT.exe;
    if (at - namespacesAt < NAMESPACES_EVERY_MS) return [want];
    namespacesAt = at;
    return [want | WANT.namespaces];
  }

  async function walkTasks(): Promise<readonly NativeRecord[] | undefined> {
    if (noWalk !== undefined) return undefined;
    try {
      return decodeRecords(await context.procfs.walk(WANT.namespaces | WANT.traced));
    } catch (thrown) {
      noWalk = reasonOf(thrown);
      return undefined;
    }
  }

  async function readProcfs(want: number, pids?: readonly number[]): Promise<readonly NativeRecord[]> {
    if (pids?.length === 0) return [];
    return decodeRecords(await context.procfs.scan(want, pids === undefined ? undefined : Uint32Array.from(pids)));
  }

  function takeTraced(records: readonly NativeRecord[]): void {
    const at = context.now();
    const traced = new Set<string>();
    for (const record of records) {
      if (record.kind !== "thread" || !context.isProtected(record.pid)) continue;
      const { pid, startTime, tid, tracerPid } = record;
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

function isSame(before: Known, now: Known): boolean {
  return (
    before.startTime === now.startTime &&
    before.comm === now.comm &&
    before.parentPid === now.parentPid &&
    before.execId === now.execId &&
    before.exeInode === now.exeInode &&
    before.mountNamespace === now.mountNamespace
  );
}

// Every process of the node, once an interval, and every thread of the protected ones with its tracer: the slow truth
// beside the event sources.

import { reasonOf } from "../errors.ts";
import { WANT } from "../native.ts";
import type { Process } from "../observation.ts";
import { decodeRecords } from "../records.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

const DETAILS = WANT.status | WANT.exe | WANT.cmdline | WANT.cgroup | WANT.namespaces;

/** A process that moves into another mount namespace tells nobody; it may have a procfs there. */
const NAMESPACES_EVERY_MS = 5_000;

interface Known {
  readonly startTime: number;
  readonly comm: string;
  readonly parentPid: number;
  readonly exeInode: number | undefined;
  readonly mountNamespace: number | undefined;
}

export function createProcessTable(context: SensorContext): Sensor {
  const name = "process-table";
  const report = createStateReporter(context, name);
  let known = new Map<number, Known>();
  /** Seen by an event alone, with their start times: if an exit is lost, only a pass can tell that they are gone. */
  const noticed = new Map<number, number>();
  const tracers = new Map<string, number>();
  let namespacesAt = Number.NEGATIVE_INFINITY;

  async function pass(full: boolean): Promise<void> {
    const at = context.now();
    try {
      // With exec events a name or a start time that changed is all there is to look for; without them the file is.
      const wantTable = context.isLive("proc-connector") && !full ? 0 : WANT.exe;
      const namespacesDue = full || at - namespacesAt >= NAMESPACES_EVERY_MS;
      if (namespacesDue) namespacesAt = at;
      const noticedBefore = [...noticed];
      const table = await readProcesses(namespacesDue ? wantTable | WANT.namespaces : wantTable);
      const fresh: number[] = [];
      const next = new Map<number, Known>();
      for (const process of table) {
        const before = known.get(process.pid);
        const entry: Known = {
          startTime: process.startTime,
          comm: process.comm,
          parentPid: process.parentPid,
          exeInode: process.exeFile?.inode ?? before?.exeInode,
          mountNamespace: process.mountNamespace ?? before?.mountNamespace,
        };
        next.set(process.pid, entry);
        if (full || before === undefined || !isSame(before, entry)) fresh.push(process.pid);
      }
      for (const process of fresh.length === 0 ? [] : await readProcesses(DETAILS, fresh)) {
        context.emit({ kind: "process.seen", at, sensor: name, by: "scan", process });
      }
      const before = [...known].map(([pid, { startTime }]) => [pid, startTime] as const);
      for (const [pid, startTime] of [...before, ...noticedBefore]) {
        if (noticed.get(pid) === startTime) noticed.delete(pid);
        if (next.get(pid)?.startTime === startTime) continue;
        context.emit({ kind: "process.exited", at: context.now(), sensor: name, pid, startTime });
      }
      known = next;
      await readThreads();
      report("live");
    } catch (thrown) {
      report("down", reasonOf(thrown));
    }
  }

  async function readProcesses(want: number, pids?: readonly number[]): Promise<Process[]> {
    const batch = await context.procfs.scan(want, pids === undefined ? undefined : Uint32Array.from(pids));
    return decodeRecords(batch).flatMap((record) => (record.kind === "process" ? [record.process] : []));
  }

  async function readThreads(): Promise<void> {
    const pids = context.protectedProcesses().map(({ pid }) => pid);
    if (pids.length === 0) return;
    const at = context.now();
    const batch = await context.procfs.scan(WANT.status | WANT.threads, Uint32Array.from(pids));
    const traced = new Set<string>();
    let startTime = 0;
    for (const record of decodeRecords(batch)) {
      if (record.kind === "process") startTime = record.process.startTime;
      if (record.kind !== "thread" || record.tracerPid === 0) continue;
      const { pid, tid, tracerPid } = record;
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
    sees: "every process by polling; tracers of every thread of protected processes; programs by what their file is",
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
    before.exeInode === now.exeInode &&
    before.mountNamespace === now.mountNamespace
  );
}

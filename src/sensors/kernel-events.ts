// The sources that speak of themselves: the netlink process connector, fanotify, and the eBPF programs. They share one
// thread and one queue, so that what happened first is told first.

import { reasonOf } from "../errors.ts";
import { WANT, type Watch, type WatchSources } from "../native.ts";
import type { Observation } from "../observation.ts";
import type { NativeRecord } from "../record.ts";
import { decodeRecords } from "../records.ts";
import { createFileEvents, FILE_EVENTS, type FileEventOptions, type WatchedFiles } from "./file-events.ts";
import { createProcfsMarks, type ProcfsMarks } from "./procfs-marks.ts";
import { createPrograms, fromProgram, PROGRAMS } from "./programs.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";
import { createSysctl, fromSysctl, SYSCTL } from "./sysctl.ts";

type RecordOf<Kind extends NativeRecord["kind"]> = Extract<NativeRecord, { kind: Kind }>;

export interface OwnFile {
  readonly path: string;
  readonly role: "program" | "configuration" | "audit" | "key";
}

const DETAILS = WANT.status | WANT.exe | WANT.cmdline | WANT.cgroup | WANT.namespaces;
/** They take less than a second even on a busy node. */
const EVENTS_A_BEAT = 256;
const CONNECTOR = "proc-connector";
const FANOTIFY = "fanotify";
const EXEC = "exec";

export interface KernelEvents {
  readonly connector: Sensor;
  readonly fanotify: Sensor;
  /** Of the eBPF programs, each object one. */
  readonly programs: readonly Sensor[];
  readonly exec: Sensor;
  readonly fileEvents: Sensor;
}

/**
 * Opens the event sources that `sources` asks for; what cannot be opened is reported and the other goes on.
 * `ownFilesTouched` is told who changed the attributes or the name of some file of rimon's own; `mountsChanged`, that
 * the mount table of some namespace is another.
 */
export function createKernelEvents(
  context: SensorContext,
  sources: WatchSources,
  ownFiles: () => readonly OwnFile[],
  ownFilesTouched: (pid: number) => void,
  watchedFiles: () => WatchedFiles | undefined = () => undefined,
  fileOptions: FileEventOptions = {},
  mountsChanged: () => void = () => undefined,
): KernelEvents {
  const reportConnector = createStateReporter(context, CONNECTOR);
  const reportFanotify = createStateReporter(context, FANOTIFY);
  const reportExec = createStateReporter(context, EXEC);
  let watch: Watch | undefined;
  let marks: ProcfsMarks | undefined;
  let reading = Promise.resolve();

  function open(): Watch {
    return (watch ??= context.addon.openWatch(sources, context.procfs, take));
  }

  function take(batch: Buffer): void {
    const wall = context.now();
    const monotonic = process.hrtime.bigint();
    const children: number[] = [];
    const records = decodeRecords(batch);
    for (const [index, record] of records.entries()) {
      // A flood of events must not keep the kernel from refusing: who is busy with them lives.
      if (index % EVENTS_A_BEAT === 0) watch?.beat();
      switch (record.kind) {
        case "process": {
          const next = records[index + 1];
          const exec = next?.kind === "process-event" && next.event === "exec" && next.pid === record.process.pid;
          const at = exec ? wall - Number(monotonic - next.timeNs) / 1e6 : wall;
          context.emit({
            kind: "process.seen",
            at,
            sensor: exec && context.isLive(EXEC) ? EXEC : CONNECTOR,
            by: exec ? "exec" : "act",
            process: record.process,
          });
          break;
        }
        case "process-event": {
          const observation = fromConnector(record, wall - Number(monotonic - record.timeNs) / 1e6);
          if (observation !== undefined) context.emit(observation);
          if (record.event === "fork" && context.isProtected(record.otherPid)) children.push(record.pid);
          break;
        }
        case "proc-file":
          takeProcFile(record, wall);
          break;
        case "file":
          takeFile(record, wall);
          break;
        case "file-change":
          fileEvents.take(record, wall - Number(monotonic - record.timeNs) / 1e6);
          break;
        case "exec":
          takeExec(record, wall - Number(monotonic - record.timeNs) / 1e6);
          break;
        case "machine-memory":
          takeMachineMemory(
            record,
            record.timeNs === undefined ? wall : wall - Number(monotonic - record.timeNs) / 1e6,
          );
          break;
        case "sysctl":
          context.emit(fromSysctl(record, wall - Number(monotonic - record.timeNs) / 1e6));
          break;
        case "memory":
        case "access":
        case "call":
        case "signal":
          context.emit(fromProgram(record, wall - Number(monotonic - record.timeNs) / 1e6));
          break;
        case "mounts":
          marks?.changed(record.id);
          mountsChanged();
          break;
        case "lost":
          takeLost(record, wall);
          break;
      }
    }
    if (children.length > 0) readChildren(children);
  }

  /** What a protected process forks is protected from its first moment, if it matches, not from the next pass on. */
  function readChildren(pids: readonly number[]): void {
    reading = reading
      .then(() => context.procfs.scan(DETAILS, Uint32Array.from(pids)))
      .then((batch) => {
        for (const record of decodeRecords(batch)) {
          if (record.kind !== "process") continue;
          context.emit({
            kind: "process.seen",
            at: context.now(),
            sensor: CONNECTOR,
            by: "scan",
            process: record.process,
          });
        }
      })
      .catch((thrown: unknown) => reportConnector("degraded", `a new process could not be read: ${reasonOf(thrown)}`));
  }

  function takeProcFile(record: RecordOf<"proc-file">, at: number): void {
    const { pid, path } = record;
    if (record.file === "sysctl") {
      const name = path.slice(path.lastIndexOf("/sys/") + 5).replaceAll("/", ".");
      context.emit({ kind: "sysctl.written", at, sensor: FANOTIFY, name, pid });
      return;
    }
    const place = marks?.place(record.dev);
    const target =
      place?.ownPids !== false ? { pid: record.targetPid } : context.resolve(place.pidNamespace, record.targetPid);
    context.emit({
      kind: "procfs.accessed",
      at,
      sensor: FANOTIFY,
      file: record.file,
      access: record.written ? "write" : record.read ? "read" : "open",
      pid,
      ...(target === undefined ? {} : { targetPid: target.pid }),
      ...(target === undefined || record.targetStartTime === undefined
        ? {}
        : { targetStartTime: record.targetStartTime }),
      ...(record.targetTid === undefined ? {} : { targetTid: record.targetTid }),
      path,
      ownMount: place?.own ?? true,
    });
  }

  /** The process and its exec were told right before. */
  function takeExec({ pid, startTime, name, unlinked, upper, posture }: RecordOf<"exec">, at: number): void {
    const head = { at, sensor: EXEC, pid, startTime };
    // Also of a process that is not protected: it may be found to hold keys later, when its environment is not that any more.
    if (context.isProtected(pid) || posture.loaderCut === true || (posture.loader ?? []).length > 0)
      context.emit({ kind: "posture.seen", ...head, posture });
    if (unlinked) context.emit({ kind: "unlinked.executed", ...head, name });
    if (upper) context.emit({ kind: "upper.executed", ...head, name });
  }

  function takeMachineMemory({ timeNs, ...record }: RecordOf<"machine-memory">, at: number): void {
    const sensor = timeNs === undefined ? FANOTIFY : PROGRAMS.access.sensor;
    context.emit({ ...record, kind: "machine-memory.opened", at, sensor });
  }

  function takeFile(record: RecordOf<"file">, at: number): void {
    if (!record.written) return takeAttributes(record.pid);
    const own = ownFiles().find(({ path }) => path === record.path);
    if (own === undefined) return;
    context.emit({
      kind: "own-file.changed",
      at,
      sensor: FANOTIFY,
      path: own.path,
      role: own.role,
      change: "written",
      pid: record.pid,
    });
  }

  function takeAttributes(pid: number): void {
    // What took the place of a marked file has no mark yet.
    if (watch !== undefined) for (const { path } of ownFiles()) markOwn(watch, path);
    ownFilesTouched(pid);
  }

  function takeLost({ source, count }: RecordOf<"lost">, at: number): void {
    const [sensor, reason] = {
      connector: [CONNECTOR, "the kernel's netlink queue overflowed"],
      files: [FANOTIFY, "the kernel's fanotify queue overflowed (fs.fanotify.max_queued_events)"],
      queue: ["kernel-events", "rimon could not keep up with the kernel"],
      memory: [PROGRAMS.memory.sensor, "the ring of the eBPF programs was full"],
      access: [PROGRAMS.access.sensor, "the ring of the eBPF programs was full"],
      calls: [PROGRAMS.calls.sensor, "the ring of the eBPF programs was full, or their table of threads"],
      signals: [PROGRAMS.signals.sensor, "the ring of the eBPF programs was full"],
      sysctl: [SYSCTL, "the ring of the eBPF program was full"],
      exec: [EXEC, "the ring of the eBPF program was full"],
      "file-events": [FILE_EVENTS, "the kernel's fanotify queue overflowed (fs.fanotify.max_queued_events)"],
      "file-changes": [FILE_EVENTS, "rimon could not keep up with the changes of files"],
      gate: ["exec-gate", "the exec gate's ring was full"],
    }[source] as [string, string];
    context.emit({ kind: "sensor.lost", at, sensor, reason, ...(count === undefined || count === 0 ? {} : { count }) });
    if (sensor === FILE_EVENTS) fileEvents.lost();
    context.requestSweep();
  }

  const connector: Sensor = {
    name: CONNECTOR,
    sees: "ptrace attach, exec, fork, exit and core-dumping signals as they happen",
    needs: ["net_admin"],
    async start() {
      if (!sources.connector) return reportConnector("off", "not asked for");
      open();
      await connector.pass?.(false);
    },
    async pass() {
      const status = watch?.status().connector;
      if (status === undefined) return;
      if (status.live) reportConnector("live");
      else reportConnector(status.events > 0 ? "down" : "unavailable", status.reason);
    },
    async stop() {
      await reading;
      watch?.close();
      watch = undefined;
    },
  };

  const fanotify: Sensor = {
    name: FANOTIFY,
    sees: "opening, reading and writing of /proc/PID/mem, environ, maps, ..., of /proc/kcore and kernel.core_pattern, with the pid that does it",
    needs: ["sys_admin"],
    async start() {
      if (!sources.files) return reportFanotify("off", "not asked for");
      const watch = open();
      const status = watch.status().files;
      if (!status.live) return reportFanotify("unavailable", status.reason);
      marks = createProcfsMarks(context, watch, FANOTIFY);
      await marks.start();
      for (const { path } of ownFiles()) markOwn(watch, path);
      report();
    },
    async pass() {
      if (marks === undefined || watch === undefined) return;
      await marks.pass();
      for (const { path } of ownFiles()) markOwn(watch, path);
      report();
    },
    notice(observation: Observation) {
      marks?.notice(observation);
    },
    async stop() {
      await marks?.stop();
    },
  };

  const exec: Sensor = {
    name: EXEC,
    sees: "every program as it is started, with its file, name and arguments and what its loader is told, however short it lives; whether it was added to its container",
    needs: ["sys_admin"],
    async start() {
      if (sources.exec !== true) return reportExec("off", "not asked for");
      open();
      await exec.pass?.(false);
    },
    async pass() {
      const status = watch?.status().exec;
      if (status === undefined) return;
      if (status.live) reportExec("live");
      else reportExec(status.events > 0 ? "down" : "unavailable", status.reason);
    },
    async stop() {},
  };

  function markOwn(watch: Watch, path: string): void {
    try {
      // Marking the same inode again changes nothing; after a rotation or a replacement it is another one.
      watch.markFile(path);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT")
        reportFanotify("degraded", `${path} cannot be watched: ${reasonOf(thrown)}`);
    }
  }

  function report(): void {
    const status = watch?.status().files;
    if (status === undefined) return;
    if (!status.live) return reportFanotify("down", status.reason);
    const blind = marks?.unmarked() ?? [];
    if (blind.length > 0) reportFanotify("degraded", `not every procfs can be watched: ${blind.join(", ")}`);
    else reportFanotify("live");
  }

  const fileEvents = createFileEvents(context, watchedFiles, open, fileOptions);
  const programs = [...createPrograms(context, sources, open), createSysctl(context, sources, open)];
  return { connector, fanotify, exec, programs, fileEvents };
}

function fromConnector(
  { event, pid, tid, otherPid, code }: RecordOf<"process-event">,
  at: number,
): Observation | undefined {
  const head = { at, sensor: CONNECTOR, pid };
  switch (event) {
    case "fork":
      return { kind: "process.forked", ...head, parentPid: otherPid };
    case "exit":
      return {
        kind: "process.exited",
        ...head,
        exitCode: (code >> 8) & 0xff,
        signal: code & 0x7f,
        dumped: (code & 0x80) !== 0,
      };
    case "traced":
      return otherPid === 0
        ? { kind: "ptrace.detached", ...head, tid }
        : { kind: "ptrace.attached", ...head, tid, tracerPid: otherPid };
    case "dumping":
      return { kind: "process.dumping", ...head, tid };
    case "exec":
    case "comm":
      // What they changed stands in the process record before them.
      return undefined;
  }
}

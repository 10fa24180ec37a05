// The sensors that are eBPF programs, each object of native/bpf/ one: what the kernel refuses to one of them leaves the
// others as they are.

import { reasonOf } from "../errors.ts";
import type { Watch, WatchSources } from "../native.ts";
import type { Observation } from "../observation.ts";
import type { NativeRecord } from "../record.ts";
import { createProtectedProcesses, type ProtectedProcesses } from "./protected-processes.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

type Source = "memory" | "access" | "calls" | "signals";
type ProgramRecord = Extract<NativeRecord, { kind: "memory" | "access" | "call" | "signal" }>;

export const PROGRAMS: Readonly<Record<Source, { readonly sensor: string; readonly sees: string }>> = {
  memory: {
    sensor: "mmap-lock",
    sees: "every touch of protected memory from another process, whatever the call, path, mount or descriptor",
  },
  access: {
    sensor: "ptrace-access",
    sees: "every request to reach into a protected process (ptrace, process_vm_readv, /proc/PID/mem, pidfd_getfd) or to open the memory of the machine (/proc/kcore, /dev/mem, by any node or mount), before it is granted",
  },
  calls: {
    sensor: "calls",
    sees: "ptrace, process_vm_readv, pidfd_getfd, kcmp, perf_event_open and the like on a protected process, also where the kernel refuses; eBPF programs being loaded",
  },
  signals: {
    sensor: "signals",
    sees: "who sends a protected process a signal that dumps core, stops it or opens its inspector",
  },
};

const AT_ENTRY =
  "at the entry of every system call of the node, which each pays for: the kernel has no BPF trampolines, or refuses them";

/** Once the watch is open; the first of them that is live keeps all of them told who is protected. */
export function createPrograms(context: SensorContext, sources: WatchSources, open: () => Watch): readonly Sensor[] {
  let protectedProcesses: ProtectedProcesses | undefined;

  return (Object.keys(PROGRAMS) as Source[]).map((source) => {
    const { sensor, sees } = PROGRAMS[source];
    const report = createStateReporter(context, sensor);
    let watch: Watch | undefined;
    let telling: ProtectedProcesses | undefined;
    async function pass(): Promise<void> {
      if (watch === undefined) return;
      try {
        await telling?.pass();
      } catch (thrown) {
        return report("down", `the eBPF programs cannot be told whom to protect: ${reasonOf(thrown)}`);
      }
      const all = watch?.status();
      const status = all?.[source];
      if (status?.live === true)
        report("live", source === "calls" && all?.callsAtEntry === true ? AT_ENTRY : undefined);
      else report("down", status?.reason);
    }
    return {
      name: sensor,
      sees,
      needs: ["sys_admin"],
      async start() {
        if (sources[source] !== true) return report("off", "not asked for");
        watch = open();
        const status = watch.status()[source];
        if (!status.live) {
          watch = undefined;
          return report("unavailable", status.reason);
        }
        if (protectedProcesses === undefined) protectedProcesses = telling = createProtectedProcesses(context, watch);
        await pass();
      },
      pass,
      notice(observation: Observation) {
        try {
          telling?.notice(observation);
        } catch (thrown) {
          report("degraded", `a process could not be protected: ${reasonOf(thrown)}`);
        }
      },
      async stop() {
        watch = undefined;
        protectedProcesses = telling = undefined;
      },
    };
  });
}

export function fromProgram(record: ProgramRecord, at: number): Observation {
  const { pid: byPid, tid: byTid, suppressed } = record;
  const target = { pid: record.targetPid, startTime: record.targetStartTime };
  switch (record.kind) {
    case "memory": {
      const { operation, action, exeFile } = record;
      const file = exeFile === undefined ? {} : { byExeFile: exeFile };
      const sensor = PROGRAMS.memory.sensor;
      return { kind: "memory.touched", at, sensor, operation, ...target, byPid, byTid, ...file, action, suppressed };
    }
    case "access": {
      const { call, attach, action, targetTid: tid } = record;
      const sensor = PROGRAMS.access.sensor;
      return { kind: "access.checked", at, sensor, ...target, tid, byPid, byTid, call, attach, action, suppressed };
    }
    case "call": {
      const { call, targetTid, argument } = record;
      return {
        kind: "call.made",
        at,
        sensor: PROGRAMS.calls.sensor,
        call,
        ...(target.pid === 0 ? {} : { ...target, tid: targetTid }),
        byPid,
        byTid,
        ...(argument === undefined ? {} : { argument: argument.toString() }),
        suppressed,
      };
    }
    case "signal":
      return {
        kind: "signal.sent",
        at,
        sensor: PROGRAMS.signals.sensor,
        ...target,
        signal: record.signal,
        ...(byPid === 0 ? {} : { byPid, byTid }),
        suppressed,
      };
  }
}

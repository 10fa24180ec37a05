// Whether protected processes can be dumped, and what their loader was told when they started.

import { reasonOf } from "../errors.ts";
import { WANT } from "../native.ts";
import { processKey, type Posture } from "../observation.ts";
import { decodeRecords } from "../records.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

export function createPosture(context: SensorContext): Sensor {
  const name = "posture";
  const report = createStateReporter(context, name);
  let known = new Map<string, string>();
  let reading = Promise.resolve();

  async function read(pids: readonly number[], want: number): Promise<void> {
    const at = context.now();
    for (const record of decodeRecords(await context.procfs.scan(want, Uint32Array.from(pids)))) {
      if (record.kind !== "process" || record.posture === undefined) continue;
      const { process, posture } = record;
      const told = dumpPart(posture);
      if (posture.loader === undefined && known.get(processKey(process)) === told) continue;
      known.set(processKey(process), told);
      const { pid, startTime } = process;
      context.emit({ kind: "posture.seen", at, sensor: name, pid, startTime, posture });
    }
  }

  async function pass(): Promise<void> {
    try {
      await reading;
      const processes = context.protectedProcesses();
      const keys = new Set(processes.map(processKey));
      known = new Map([...known].filter(([key]) => keys.has(key)));
      const fresh = processes.filter((id) => !known.has(processKey(id)));
      const seen = processes.filter((id) => known.has(processKey(id)));
      if (fresh.length > 0)
        await read(
          fresh.map(({ pid }) => pid),
          WANT.dump | WANT.loader,
        );
      if (seen.length > 0)
        await read(
          seen.map(({ pid }) => pid),
          WANT.dump,
        );
      report("live");
    } catch (thrown) {
      report("degraded", reasonOf(thrown));
    }
  }

  return {
    name,
    sees: "RLIMIT_CORE, coredump_filter and dumpable of protected processes; LD_PRELOAD and LD_AUDIT at their start",
    needs: ["sys_ptrace"],
    start: pass,
    pass,
    notice(observation) {
      if (observation.kind !== "process.seen" || observation.by !== "exec") return;
      const { pid } = observation.process;
      if (!context.isProtected(pid)) return;
      known.delete(processKey(observation.process));
      // At once: what a process was started with matters most in its first second.
      reading = reading
        .then(() => read([pid], WANT.dump | WANT.loader))
        .catch((thrown: unknown) => report("degraded", reasonOf(thrown)));
    },
    async stop() {
      await reading;
    },
  };
}

function dumpPart({ coreLimit, coredumpFilter, procOwner }: Posture): string {
  return JSON.stringify([coreLimit, coredumpFilter, procOwner]);
}

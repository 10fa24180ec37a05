// The executable mappings of every protected process, read when their digest changes.

import { reasonOf } from "../errors.ts";
import { processKey, type ProcessId } from "../observation.ts";
import { decodeRecords } from "../records.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

export function createAddressSpace(context: SensorContext): Sensor {
  const name = "address-space";
  const report = createStateReporter(context, name);
  let digests = new Map<string, bigint>();
  /** One reading after the other, so that what was seen last is what is known. */
  let reading = Promise.resolve();

  function pass(): Promise<void> {
    return (reading = reading.then(readAll));
  }

  /** The process has just asked for code to be mapped: it is looked at now, not at the next pass. */
  function look(id: ProcessId): void {
    reading = reading.then(async () => {
      const digest = await readOne(id).catch(() => undefined);
      // What cannot be read is told by the next pass.
      if (digest !== undefined) digests.set(processKey(id), digest);
    });
  }

  async function readAll(): Promise<void> {
    const next = new Map<string, bigint>();
    const failures: string[] = [];
    for (const id of context.protectedProcesses()) {
      try {
        const digest = await readOne(id);
        if (digest !== undefined) next.set(processKey(id), digest);
      } catch (thrown) {
        failures.push(`${id.pid}: ${reasonOf(thrown)}`);
      }
    }
    digests = next;
    if (failures.length === 0) report("live");
    else report("degraded", `maps of ${failures.length} protected processes cannot be read (${failures[0]})`);
  }

  async function readOne(id: ProcessId): Promise<bigint | undefined> {
    const known = digests.get(processKey(id));
    const at = context.now();
    for (const record of decodeRecords(await context.procfs.maps(id.pid, known))) {
      if (record.kind !== "maps") continue;
      if (record.mappings !== undefined && record.digest !== known) {
        context.emit({
          kind: "maps.seen",
          at,
          sensor: name,
          ...id,
          digest: record.digest.toString(16),
          mappings:
            id.pid === process.pid ? record.mappings.filter(({ path }) => path !== context.addonPath) : record.mappings,
        });
      }
      return record.digest;
    }
    return undefined;
  }

  return {
    name,
    sees: "code that appears, changes permission or comes from an unusual place in protected processes",
    needs: ["sys_ptrace"],
    start: pass,
    pass,
    notice(observation) {
      // A new image has a new address space under the same pid.
      if (observation.kind === "process.seen" && observation.by === "exec")
        digests.delete(processKey(observation.process));
      if (observation.kind === "call.made" && (observation.call === "map-code" || observation.call === "map-file")) {
        const { pid, startTime } = observation;
        if (pid !== undefined && startTime !== undefined) look({ pid, startTime });
      }
    },
    async stop() {
      await reading;
    },
  };
}

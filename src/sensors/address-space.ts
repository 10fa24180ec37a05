// The executable mappings of every protected process, read when their digest changes.

import { reasonOf } from "../errors.ts";
import { processKey, type ProcessId } from "../observation.ts";
import { decodeRecords } from "../records.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

export function createAddressSpace(context: SensorContext): Sensor {
  const name = "address-space";
  const report = createStateReporter(context, name);
  let digests = new Map<string, bigint>();

  async function pass(): Promise<void> {
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
    },
    async stop() {},
  };
}

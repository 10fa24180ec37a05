// The executable mappings of every protected process, read when their digest changes.

import { reasonOf } from "../errors.ts";
import { processKey, type Call, type Observation, type ProcessId } from "../observation.ts";
import { decodeRecords } from "../records.ts";
import { createLooks } from "./looks.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

/**
 * When it is looked again at what a mapping was told of: after one of a file, those of the next millisecond are not told
 * (MAP_QUIET_NS of native/bpf/calls.bpf.c), and each is told when the kernel is asked for it.
 */
const AFTER_MS = [2, 5] as const;
const MAPS: ReadonlySet<Call> = new Set(["map-file", "map-code"]);

export function createAddressSpace(context: SensorContext): Sensor {
  const name = "address-space";
  const report = createStateReporter(context, name);
  let digests = new Map<string, bigint>();
  const looks = createLooks(async (id) => {
    const digest = await readOne(id);
    if (digest !== undefined) digests.set(processKey(id), digest);
  }, AFTER_MS);

  function pass(): Promise<void> {
    return looks.next(readAll);
  }

  function notice(observation: Observation): void {
    if (observation.kind === "process.seen" && observation.by === "exec") {
      const { process } = observation;
      // A new image has a new address space under the same pid.
      digests.delete(processKey(process));
      // What its loader mapped before the kernel was told of it stands in its maps.
      if (context.isProtected(process.pid)) looks.soon(process);
    }
    if (observation.kind === "call.made" && MAPS.has(observation.call)) {
      const { pid, startTime } = observation;
      if (pid !== undefined && startTime !== undefined) looks.soon({ pid, startTime });
    }
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
      // Another may have the pid by now.
      if (record.kind !== "maps" || record.startTime !== id.startTime) continue;
      if (record.mappings !== undefined && record.digest !== known) {
        context.emit({
          kind: "maps.seen",
          at,
          sensor: name,
          ...id,
          digest: record.digest.toString(16),
          mappings:
            id.pid === process.pid
              ? record.mappings.filter(({ path }) => !context.addonPaths.includes(path))
              : record.mappings,
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
    notice,
    stop: looks.stop,
  };
}

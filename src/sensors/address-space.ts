// The executable mappings of every protected process, read when their digest changes.

import { reasonOf } from "../errors.ts";
import { processKey, type Observation, type ProcessId } from "../observation.ts";
import { decodeRecords } from "../records.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

/**
 * After a mapping of a file is told, those of the next millisecond are not (MAP_QUIET_NS of native/bpf/calls.bpf.c); one
 * millisecond more for the call to be done, and one because clocks are read in whole ones.
 */
const MAPPED_WITHIN_MS = 3;
/** When memory is looked at once more that is to be made code: it is told when the kernel is asked for it. */
const MADE_WITHIN_MS = 5;

export function createAddressSpace(context: SensorContext): Sensor {
  const name = "address-space";
  const report = createStateReporter(context, name);
  let digests = new Map<string, bigint>();
  /** Per process that waits to be looked at, when the latest was told that more may follow; 0: nothing was. */
  const asked = new Map<string, number>();
  /** One reading after the other, so that what was seen last is what is known. */
  let reading = Promise.resolve();
  let stopped = false;
  /** Processes that are looked at once more a little later, however often that is asked for meanwhile. */
  const later = new Map<string, NodeJS.Timeout>();

  function pass(): Promise<void> {
    return (reading = reading.then(readAll));
  }

  /**
   * A process is looked at now, not at the next pass, and again for as long as there may be more than what was told at
   * `at`. What is asked for while a look waits is seen by that one.
   */
  function look(id: ProcessId, at = 0): void {
    const key = processKey(id);
    const waiting = asked.get(key);
    asked.set(key, Math.max(waiting ?? 0, at));
    if (waiting !== undefined) return;
    reading = reading.then(async () => {
      const latest = asked.get(key) ?? at;
      asked.delete(key);
      const began = context.now();
      const digest = await readOne(id).catch(() => undefined);
      // What cannot be read is told by the next pass, what has ended by nobody.
      if (digest === undefined) return;
      digests.set(key, digest);
      // Also where the clock was set back meanwhile, or this had no end before it is there again.
      if (!stopped && Math.abs(began - latest) < MAPPED_WITHIN_MS) look(id, latest);
    });
  }

  /** A compiler at work asks for this all the time. */
  function lookLater(id: ProcessId): void {
    const key = processKey(id);
    if (later.has(key) || stopped) return;
    const timer = setTimeout(() => {
      later.delete(key);
      look(id);
    }, MADE_WITHIN_MS);
    later.set(key, timer);
  }

  function notice(observation: Observation): void {
    if (observation.kind === "process.seen" && observation.by === "exec") {
      const { process } = observation;
      // A new image has a new address space under the same pid.
      digests.delete(processKey(process));
      // What its loader mapped before the kernel was told of it stands in its maps.
      if (context.isProtected(process.pid)) look(process, observation.at);
    }
    if (observation.kind === "call.made") {
      const { call, pid, startTime, at } = observation;
      if (pid === undefined || startTime === undefined) return;
      if (call === "map-file") look({ pid, startTime }, at);
      if (call === "map-code") {
        look({ pid, startTime });
        lookLater({ pid, startTime });
      }
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
      if (record.kind !== "maps") continue;
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
    async stop() {
      stopped = true;
      for (const timer of later.values()) clearTimeout(timer);
      await reading;
    },
  };
}

// What a sensor is given by the spine: the real addon on the live /proc, and somewhere to put what it says.

import { requireAddon } from "../../src/native.ts";
import type { Observation, ObservationOf, ProcessId } from "../../src/observation.ts";
import { openBaseline } from "../../src/store/sealed-baselines.ts";
import type { SensorContext } from "../../src/sensors/sensor.ts";
import { Recording } from "../fixtures/recording.ts";

export interface TestContext extends SensorContext {
  readonly emitted: Recording<Observation>;
  protectedIds: ProcessId[];
  of<Kind extends Observation["kind"]>(kind: Kind): ObservationOf<Kind>[];
  close(): void;
}

export function createContext(protectedIds: ProcessId[] = []): TestContext {
  const { addon, path } = requireAddon();
  const procfs = addon.openProcfs();
  const emitted = new Recording<Observation>("observations");
  const context: TestContext = {
    addon,
    addonPaths: [path],
    procfs,
    emitted,
    protectedIds,
    emit: (observation) => emitted.add(observation),
    now: Date.now,
    openBaseline: (settings, type) => openBaseline(settings, type, context.now()),
    requestSweep() {},
    protectedProcesses: () => context.protectedIds,
    isProtected: (pid) => context.protectedIds.some((each) => each.pid === pid),
    resolve: () => undefined,
    isLive: () => false,
    lineage: () => [],
    refusals: () => [],
    refusedRules: () => [],
    nodeRefusals: () => [],
    exemptions: () => [],
    of: (kind) => emitted.items.filter((each): each is ObservationOf<typeof kind> => each.kind === kind),
    close: () => procfs.close(),
  };
  return context;
}

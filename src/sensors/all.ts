// Every sensor, in the order they start: events first, so that nothing falls between them and the first pass.

import type { Configuration } from "../configuration.ts";
import type { WatchSources } from "../native.ts";
import { createAddressSpace } from "./address-space.ts";
import { createCodePages } from "./code-pages.ts";
import { createDescriptors } from "./descriptors.ts";
import { createExecGate } from "./exec-gate.ts";
import { createExecutables } from "./executables.ts";
import { createKernelEvents, type OwnFile } from "./kernel-events.ts";
import { createOwnFiles } from "./own-files.ts";
import { createPosture } from "./posture.ts";
import { createProcessTable } from "./process-table.ts";
import type { Sensor, SensorContext } from "./sensor.ts";
import { createSettings } from "./settings.ts";
import { createSnapshots } from "./snapshots.ts";
import { createUprobes } from "./uprobes.ts";

export function createSensors(
  context: SensorContext,
  configuration: () => Pick<Configuration, "exceptions" | "snapshots" | "gate">,
  ownFiles: () => readonly OwnFile[],
  sources: WatchSources,
): readonly Sensor[] {
  const hashed = (): string[] =>
    configuration().exceptions.flatMap(({ suspect }) =>
      suspect?.exe !== undefined && suspect.sha256 !== undefined ? [suspect.exe] : [],
    );
  const own = createOwnFiles(context, ownFiles);
  const events = createKernelEvents(context, sources, ownFiles, own.touched);
  return [
    events.connector,
    events.fanotify,
    events.exec,
    ...events.programs,
    createSettings(context),
    createExecutables(context, hashed),
    createProcessTable(context),
    createDescriptors(context),
    createPosture(context),
    createAddressSpace(context),
    createCodePages(context),
    createUprobes(context),
    createSnapshots(context, () => configuration().snapshots),
    createExecGate(context, () => configuration().gate),
    own,
  ];
}

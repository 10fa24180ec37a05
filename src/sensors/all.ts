// Every sensor, in the order they start: events first, so that nothing falls between them and the first pass.

import type { Configuration } from "../configuration.ts";
import type { WatchSources } from "../native.ts";
import { createAddressSpace } from "./address-space.ts";
import { createCodePages } from "./code-pages.ts";
import { createDescriptors } from "./descriptors.ts";
import { CONTAINER_RULES, DEFAULT_ROOTS, DEFAULT_RULES } from "../baselines/files/defaults.ts";
import { createExecGate } from "./exec-gate.ts";
import { createExecutables } from "./executables.ts";
import type { WatchedFiles } from "./file-events.ts";
import { createFiles } from "./files.ts";
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
  configuration: () => Pick<
    Configuration,
    "exceptions" | "snapshots" | "files" | "gate" | "audit" | "alerts" | "actions"
  >,
  ownFiles: () => readonly OwnFile[],
  sources: WatchSources,
): readonly Sensor[] {
  const hashed = (): string[] =>
    configuration().exceptions.flatMap(({ suspect }) =>
      suspect?.exe !== undefined && suspect.sha256 !== undefined ? [suspect.exe] : [],
    );
  const own = createOwnFiles(context, ownFiles);
  const gate = createExecGate(context, () => configuration().gate);
  const watchedFiles = (): WatchedFiles | undefined => {
    const { files, audit, alerts, actions } = configuration();
    if (files === undefined || !(files.realtime || files.containers)) return undefined;
    return {
      roots: files.realtime ? (files.paths ?? DEFAULT_ROOTS) : [],
      rules: [...files.rules, ...DEFAULT_RULES],
      ...(files.realtime ? { baseline: files } : {}),
      ...(files.containers ? { containers: [...files.rules, ...CONTAINER_RULES] } : {}),
      own: [audit.path, alerts.spool.directory, actions.capture.directory],
    };
  };
  const events = createKernelEvents(context, sources, ownFiles, own.touched, watchedFiles, {}, gate.mountsChanged);
  return [
    events.connector,
    events.fanotify,
    events.exec,
    ...events.programs,
    events.fileEvents,
    createSettings(context),
    createExecutables(context, hashed),
    createProcessTable(context),
    createDescriptors(context),
    createPosture(context),
    createAddressSpace(context),
    createCodePages(context),
    createUprobes(context),
    createSnapshots(context, () => configuration().snapshots),
    createFiles(context, () => configuration().files),
    gate,
    own,
  ];
}

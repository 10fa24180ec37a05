// Every rule, in the order they are asked.

import { baselineRefused } from "./baseline-refused.ts";
import { bpfLoaded } from "./bpf-loaded.ts";
import { codeModified } from "./code-modified.ts";
import { containerDrift } from "./container-drift.ts";
import { coreDump } from "./core-dump.ts";
import { debuggerPresent } from "./debugger-present.ts";
import { descriptorTaken } from "./descriptor-taken.ts";
import type { Detector } from "./detector.ts";
import { environRead } from "./environ-read.ts";
import { execDenied } from "./exec-denied.ts";
import { fileChanged } from "./file-changed.ts";
import { fileTouched } from "./file-touched.ts";
import { filelessExec } from "./fileless-exec.ts";
import { inspectorOpened } from "./inspector-opened.ts";
import { isolationChanged } from "./isolation-changed.ts";
import { libraryPreloaded } from "./library-preloaded.ts";
import { mapsChanged } from "./maps-changed.ts";
import { mapsRead } from "./maps-read.ts";
import { memoryRead } from "./memory-read.ts";
import { monitorTroubled } from "./monitor-troubled.ts";
import { ownFileChanged } from "./own-file-changed.ts";
import { packagesChanged } from "./packages-changed.ts";
import { perfAttached } from "./perf-attached.ts";
import { processStopped } from "./process-stopped.ts";
import { procfsMounted } from "./procfs-mounted.ts";
import { ptraceAttach } from "./ptrace-attach.ts";
import { sensorBlind } from "./sensor-blind.ts";
import { upperLayerExec } from "./upper-layer-exec.ts";
import { uprobeSet } from "./uprobe-set.ts";

export const DETECTORS: readonly Detector[] = [
  ptraceAttach,
  memoryRead,
  descriptorTaken,
  perfAttached,
  inspectorOpened,
  uprobeSet,
  environRead,
  mapsRead,
  debuggerPresent,
  filelessExec,
  upperLayerExec,
  execDenied,
  coreDump,
  libraryPreloaded,
  mapsChanged,
  codeModified,
  isolationChanged,
  baselineRefused,
  fileChanged,
  fileTouched,
  containerDrift,
  packagesChanged,
  procfsMounted,
  processStopped,
  bpfLoaded,
  sensorBlind,
  ownFileChanged,
  monitorTroubled,
];

// Every technique, in the order in which they are run: what needs a decoy that has settled comes last.

import type { Technique } from "../technique.ts";
import { abortCore } from "./abort-core.ts";
import { codeBreakpoint } from "./code-breakpoint.ts";
import { corePatternWrite } from "./core-pattern-write.ts";
import { debuggerRenamed } from "./debugger-renamed.ts";
import { environRead } from "./environ-read.ts";
import { gcore } from "./gcore.ts";
import { lateLibrary } from "./late-library.ts";
import { ldAudit } from "./ld-audit.ts";
import { ldPreload } from "./ld-preload.ts";
import { mapsRead } from "./maps-read.ts";
import { ownFileMode } from "./own-file-mode.ts";
import { pidfdGetfd } from "./pidfd-getfd.ts";
import { procMem } from "./proc-mem.ts";
import { procMemHeld } from "./proc-mem-held.ts";
import { procMemDetachedMount } from "./proc-mem-detached-mount.ts";
import { procMemOtherMount } from "./proc-mem-other-mount.ts";
import { procTaskMem } from "./proc-task-mem.ts";
import { processVmReadv } from "./process-vm-readv.ts";
import { ptraceAttach } from "./ptrace-attach.ts";
import { ptraceHeld } from "./ptrace-held.ts";
import { ptraceSeize } from "./ptrace-seize.ts";
import { ptraceThread } from "./ptrace-thread.ts";
import { textPatch } from "./text-patch.ts";
import { writableCode } from "./writable-code.ts";

export const TECHNIQUES: readonly Technique[] = [
  ptraceHeld,
  procMemHeld,
  ptraceAttach,
  ptraceSeize,
  ptraceThread,
  procMem,
  procTaskMem,
  procMemOtherMount,
  procMemDetachedMount,
  processVmReadv,
  pidfdGetfd,
  textPatch,
  codeBreakpoint,
  environRead,
  mapsRead,
  debuggerRenamed,
  gcore,
  abortCore,
  corePatternWrite,
  ldPreload,
  ldAudit,
  ownFileMode,
  lateLibrary,
  writableCode,
];

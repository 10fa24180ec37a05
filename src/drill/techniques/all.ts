// Every technique, in the order in which they are run: what needs a decoy that has settled comes last.

import type { Technique } from "../technique.ts";
import { abortCore } from "./abort-core.ts";
import { auxvRead } from "./auxv-read.ts";
import { bpfCopyFromUserTask } from "./bpf-copy-from-user-task.ts";
import { cgroupMoved } from "./cgroup-moved.ts";
import { codeBreakpoint } from "./code-breakpoint.ts";
import { corePatternWrite } from "./core-pattern-write.ts";
import { corePipeHandler } from "./core-pipe-handler.ts";
import { coredumpFilterWrite } from "./coredump-filter-write.ts";
import { criuLikeSeize } from "./criu-like-seize.ts";
import { debuggerRenamed } from "./debugger-renamed.ts";
import { deletedExec } from "./deleted-exec.ts";
import { devMemOpen } from "./dev-mem-open.ts";
import { devMemOtherNode } from "./dev-mem-other-node.ts";
import { dlopenDevShm } from "./dlopen-dev-shm.ts";
import { environRead } from "./environ-read.ts";
import { execUnknown } from "./exec-unknown.ts";
import { fileSwapped } from "./file-swapped.ts";
import { fileWritten } from "./file-written.ts";
import { fileWrittenBefore } from "./file-written-before.ts";
import { gcore } from "./gcore.ts";
import { kcmp } from "./kcmp.ts";
import { lateLibrary } from "./late-library.ts";
import { ldAudit } from "./ld-audit.ts";
import { ldPreload } from "./ld-preload.ts";
import { ldPreloadErased } from "./ld-preload-erased.ts";
import { ldSoPreload } from "./ld-so-preload.ts";
import { mapFiles } from "./map-files.ts";
import { mapsRead } from "./maps-read.ts";
import { memfdExec } from "./memfd-exec.ts";
import { nodeInspect } from "./node-inspect.ts";
import { nodeSigusr1 } from "./node-sigusr1.ts";
import { ownFileMode } from "./own-file-mode.ts";
import { pagemapRead } from "./pagemap-read.ts";
import { perfSampleStack } from "./perf-sample-stack.ts";
import { pidfdGetfd } from "./pidfd-getfd.ts";
import { pidfdGetfdSocket } from "./pidfd-getfd-socket.ts";
import { prctlDumpable } from "./prctl-dumpable.ts";
import { prlimitCore } from "./prlimit-core.ts";
import { prlimitMemlock } from "./prlimit-memlock.ts";
import { procKcoreOpen } from "./proc-kcore-open.ts";
import { procMem } from "./proc-mem.ts";
import { procMemDetachedMount } from "./proc-mem-detached-mount.ts";
import { procMemHeld } from "./proc-mem-held.ts";
import { procMemIoUring } from "./proc-mem-io-uring.ts";
import { procMemOtherMount } from "./proc-mem-other-mount.ts";
import { procMemPassedFd } from "./proc-mem-passed-fd.ts";
import { procMemRelative } from "./proc-mem-relative.ts";
import { procMemWrite } from "./proc-mem-write.ts";
import { procTaskMem } from "./proc-task-mem.ts";
import { processMadvise } from "./process-madvise.ts";
import { processVmReadv } from "./process-vm-readv.ts";
import { processVmReadvInt80 } from "./process-vm-readv-int80.ts";
import { processVmWritev } from "./process-vm-writev.ts";
import { ptraceAttach } from "./ptrace-attach.ts";
import { ptraceGetregs } from "./ptrace-getregs.ts";
import { ptraceHeld } from "./ptrace-held.ts";
import { ptracePeekAfterSeize } from "./ptrace-peek-after-seize.ts";
import { ptraceSeize } from "./ptrace-seize.ts";
import { ptraceThread } from "./ptrace-thread.ts";
import { sigquitCore } from "./sigquit-core.ts";
import { smapsRead } from "./smaps-read.ts";
import { textPatch } from "./text-patch.ts";
import { textPatchPtrace } from "./text-patch-ptrace.ts";
import { uprobeCrypto } from "./uprobe-crypto.ts";
import { uprobeHeld } from "./uprobe-held.ts";
import { upperLayerExec } from "./upper-layer-exec.ts";
import { writableCode } from "./writable-code.ts";
import { writableCodeHeld } from "./writable-code-held.ts";

export const TECHNIQUES: readonly Technique[] = [
  ptraceHeld,
  procMemHeld,
  uprobeHeld,
  writableCodeHeld,
  ptracePeekAfterSeize,
  ptraceAttach,
  ptraceSeize,
  ptraceThread,
  ptraceGetregs,
  criuLikeSeize,
  textPatchPtrace,
  procMem,
  procTaskMem,
  procMemRelative,
  procMemOtherMount,
  procMemDetachedMount,
  procMemPassedFd,
  procMemIoUring,
  procMemWrite,
  textPatch,
  codeBreakpoint,
  processVmReadv,
  processVmReadvInt80,
  processVmWritev,
  processMadvise,
  pidfdGetfd,
  pidfdGetfdSocket,
  kcmp,
  perfSampleStack,
  uprobeCrypto,
  bpfCopyFromUserTask,
  procKcoreOpen,
  devMemOpen,
  devMemOtherNode,
  environRead,
  mapsRead,
  mapFiles,
  smapsRead,
  pagemapRead,
  auxvRead,
  debuggerRenamed,
  gcore,
  nodeSigusr1,
  nodeInspect,
  memfdExec,
  deletedExec,
  upperLayerExec,
  abortCore,
  sigquitCore,
  corePatternWrite,
  corePipeHandler,
  coredumpFilterWrite,
  ldPreload,
  ldPreloadErased,
  ldAudit,
  ldSoPreload,
  dlopenDevShm,
  ownFileMode,
  prlimitCore,
  prctlDumpable,
  lateLibrary,
  writableCode,
  fileWrittenBefore,
  fileWritten,
  fileSwapped,
  execUnknown,
  prlimitMemlock,
  cgroupMoved,
];

// Every subsystem, in the order they are told.

import type { Subsystem } from "./subsystem.ts";
import { bpfPrograms } from "./subsystems/bpf-programs.ts";
import { capabilities } from "./subsystems/capabilities.ts";
import { cgroups } from "./subsystems/cgroups.ts";
import { code } from "./subsystems/code.ts";
import { executable, securityLabel } from "./subsystems/identity.ts";
import { modules, security, sysctls } from "./subsystems/kernel.ts";
import { limits } from "./subsystems/limits.ts";
import { memoryMaps } from "./subsystems/memory-maps.ts";
import { namespaces } from "./subsystems/namespaces.ts";
import { seccompFilters } from "./subsystems/seccomp-filters.ts";
import { seccomp } from "./subsystems/seccomp.ts";
import { threads } from "./subsystems/threads.ts";

/** To add one: its line here. */
export const SUBSYSTEMS: readonly Subsystem[] = [
  memoryMaps,
  code,
  seccomp,
  seccompFilters,
  cgroups,
  capabilities,
  threads,
  namespaces,
  limits,
  securityLabel,
  executable,
  modules,
  sysctls,
  security,
  bpfPrograms,
];

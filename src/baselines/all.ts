// Every subsystem, in the order they are told.

import type { Subsystem } from "./subsystem.ts";
import { capabilities } from "./subsystems/capabilities.ts";
import { cgroups } from "./subsystems/cgroups.ts";
import { code } from "./subsystems/code.ts";
import { executable, securityLabel } from "./subsystems/identity.ts";
import { modules, security, sysctls } from "./subsystems/kernel.ts";
import { limits } from "./subsystems/limits.ts";
import { memoryMaps } from "./subsystems/memory-maps.ts";
import { namespaces } from "./subsystems/namespaces.ts";
import { seccomp } from "./subsystems/seccomp.ts";

/** To add one: its line here. */
export const SUBSYSTEMS: readonly Subsystem[] = [
  memoryMaps,
  code,
  seccomp,
  cgroups,
  capabilities,
  namespaces,
  limits,
  securityLabel,
  executable,
  modules,
  sysctls,
  security,
];

// What mode enforce refuses in the kernel, and to whom it never does.

import type { Configuration } from "../configuration.ts";
import type { Process } from "../observation.ts";
import { matches } from "../protection.ts";

/** The rules whose acts the kernel side can refuse; any other is only told. */
export const REFUSABLE: readonly string[] = ["memory-read", "ptrace-attach"];

/** The rules whose acts on this process are refused; none where the mode is not enforce. */
export function refusalsOf({ mode, enforce }: Configuration, process: Process | undefined): readonly string[] {
  if (mode !== "enforce" || process === undefined) return [];
  const meant = enforce.filter(({ protect }) => matches(protect, process));
  return [...new Set(meant.flatMap(({ operations }) => operations))].filter((rule) => REFUSABLE.includes(rule));
}

// What a loader or an interpreter is given to run. The kernel executes it only as far as it executes them, so that the exec
// gate is not asked: it is looked at after, and told.

import type { Process } from "../observation.ts";

/** Of the loader of glibc (ld.so(8)): they take a word each. */
const LOADER_VALUES = new Set(["--library-path", "--inhibit-rpath", "--audit", "--preload", "--argv0"]);
/** With these it runs nothing. */
const LOADER_LOOKS = new Set(["--list", "--verify", "--help", "--version", "--list-tunables", "--list-diagnostics"]);
const SHELL = /\/(?:[a-z]*sh|busybox)$/;
const LOADER = /\/ld(?:-linux[^/]*|-musl[^/]*|64)?\.so(?:\.\d+)*$/;

/** As it stands in the command line; undefined if nothing was handed over, or it cannot be told. */
export function handedOver(
  { exe, cmdline }: Pick<Process, "exe" | "cmdline">,
  interpreters: readonly string[],
): string | undefined {
  if (exe === undefined || cmdline === undefined) return undefined;
  if (LOADER.test(exe)) return afterOptions(cmdline, LOADER_VALUES, (option) => LOADER_LOOKS.has(option));
  if (!interpreters.includes(exe)) return undefined;
  // The program is in the command line, or found by another name; to a shell -e and -m are something else.
  const inLine = SHELL.test(exe) ? /^-[a-z]*c/i : /^-[a-z]*[cem]/i;
  return afterOptions(cmdline, new Set(), (option) => inLine.test(option));
}

function afterOptions(
  cmdline: readonly string[],
  withValue: ReadonlySet<string>,
  ends: (option: string) => boolean,
): string | undefined {
  for (let i = 1; i < cmdline.length; i++) {
    const word = cmdline[i] ?? "";
    if (!word.startsWith("-") || word === "-") return word === "-" || word === "" ? undefined : word;
    if (ends(word)) return undefined;
    if (withValue.has(word)) i++;
  }
  return undefined;
}

// Code that comes into a process after its start, and has its ordinary reasons.

import type { Process } from "../observation.ts";
import { baseName } from "./detector.ts";

/** Runtimes that compile as they run: new anonymous code is their daily work. */
const COMPILERS_AT_RUN_TIME = [
  "node",
  "java",
  "dotnet",
  "luajit",
  "qemu-system-x86_64",
  "envoy",
  "chromium",
  "postgres",
  "erl",
  "beam.smp",
  "deno",
  "bun",
  "php-fpm",
  "mono",
];
const SYSTEM_LIBRARIES = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/"];

export function compilesAtRunTime({ exe }: Process, allow: readonly string[]): boolean {
  if (exe === undefined) return false;
  return allow.includes(exe) || COMPILERS_AT_RUN_TIME.includes(baseName(exe));
}

export function isSystemLibrary(path: string): boolean {
  return !path.endsWith(" (deleted)") && SYSTEM_LIBRARIES.some((folder) => path.startsWith(folder));
}

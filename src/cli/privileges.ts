// rimon starts as root and keeps what its sensors and actions need, nothing else. Capabilities belong to threads, and
// Node has threads before any of our code runs: so the process replaces itself once, with a reduced bounding set.

import type { Configuration } from "../configuration.ts";
import { loadAddon } from "../native.ts";

/** Set in the environment of the second start, so that there is no third. */
const CONFINED = "RIMON_CONFINED";

interface Need {
  readonly capability: string;
  readonly why: string;
  needed(configuration: Configuration): boolean;
}

const always = (): boolean => true;

/** Every capability rimon can use, and what for. */
export const NEEDS: readonly Need[] = [
  {
    capability: "sys_ptrace",
    why: "read maps, environ, exe and descriptors of other users' processes",
    needed: always,
  },
  { capability: "sys_admin", why: "fanotify marks on procfs, a procfs of rimon's own", needed: always },
  { capability: "net_admin", why: "the netlink process connector", needed: always },
  { capability: "dac_read_search", why: "reach files and mounts of other users", needed: always },
  { capability: "dac_override", why: "write its own files where a folder belongs to another user", needed: always },
  { capability: "kill", why: "kill-suspect", needed: ({ actions }) => actions["kill-suspect"].enabled },
];

/** The capabilities this configuration needs. */
export function capabilitiesFor(configuration: Configuration): string[] {
  return NEEDS.filter(({ needed }) => needed(configuration)).map(({ capability }) => capability);
}

/** Replaces this process by itself with only the capabilities that are needed; returns if there is nothing to drop. */
export function confine(configuration: Configuration): void {
  if (process.env[CONFINED] === "1") {
    // Not for the children of this process: they may be another rimon.
    delete process.env[CONFINED];
    return;
  }
  const loaded = loadAddon();
  if (!loaded.ok) return;
  const needed = capabilitiesFor(configuration);
  const held = loaded.addon.capabilities();
  if (held.every((capability) => needed.includes(capability))) return;
  const env = Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  loaded.addon.execWithCapabilities(
    process.execPath,
    [...process.execArgv, ...process.argv.slice(1)],
    [...env, `${CONFINED}=1`],
    needed,
  );
}

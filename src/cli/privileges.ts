// rimon starts as root and keeps what its sensors and actions need, nothing else. Capabilities belong to threads, and
// Node has threads before any of our code runs: so the process replaces itself once, with a reduced bounding set.

import { readFileSync } from "node:fs";
import { DEFAULT_CONFIGURATION, type Configuration } from "../configuration.ts";
import { loadAddon } from "../native.ts";

/** Set in the environment of the second start, so that there is no third. */
const CONFINED = "RIMON_CONFINED";
/** Node 22.14: a SIGUSR1 does not open the inspector, not even before there is a handler for it. */
export const NO_INSPECTOR_SIGNAL = "--disable-sigusr1";

let confined = false;

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
  {
    capability: "sys_rawio",
    why: "be told by fanotify who opens /proc/kcore, since it is handed a descriptor of it",
    needed: always,
  },
  { capability: "net_admin", why: "the netlink process connector", needed: always },
  { capability: "syslog", why: "tell by the kernel's stack how memory was touched", needed: always },
  { capability: "sys_nice", why: "read a process that acts before it is gone, on a busy node too", needed: always },
  { capability: "dac_read_search", why: "reach files and mounts of other users", needed: always },
  { capability: "dac_override", why: "write its own files where a folder belongs to another user", needed: always },
  {
    capability: "lease",
    why: "keep others from writing to what is checked before it runs",
    needed: ({ gate }) => gate !== undefined,
  },
  {
    capability: "ipc_lock",
    why: "keep the exec gate's memory from being paged out",
    needed: ({ gate }) => gate !== undefined,
  },
  { capability: "kill", why: "kill-suspect", needed: ({ actions }) => actions["kill-suspect"].enabled },
];

/** The capabilities this configuration needs. */
export function capabilitiesFor(configuration: Configuration): string[] {
  return NEEDS.filter(({ needed }) => needed(configuration)).map(({ capability }) => capability);
}

/** A sentence for every capability that the next configuration needs, the one of the start did not, and is not held. */
export function lackingFor(next: Configuration, atStart: Configuration): string[] {
  const loaded = loadAddon();
  if (!loaded.ok) return [];
  return lackingAmong(loaded.addon.capabilities(), next, atStart, confined);
}

/** The same for capabilities that are given; `dropped` tells that this process gave up what it did not need. */
export function lackingAmong(
  held: readonly string[],
  next: Configuration,
  atStart: Configuration,
  dropped: boolean,
): string[] {
  return NEEDS.filter(({ capability, needed }) => needed(next) && !needed(atStart) && !held.includes(capability)).map(
    ({ capability, why }) => {
      const how = dropped ? "dropped at its start: restart it" : "was started without: start it anew with it";
      return `${why} needs CAP_${capability.toUpperCase()}, which rimon ${how}`;
    },
  );
}

/** The value of --config among the options of a command. */
export function configOf(options: readonly string[]): string | undefined {
  const at = options.findLastIndex((option) => option === "--config" || option.startsWith("--config="));
  const option = options[at];
  return option === "--config" ? options[at + 1] : option?.slice("--config=".length);
}

/**
 * Replaces this process by itself with only the capabilities that this configuration needs; returns if there is nothing
 * to drop. What is wrong with the configuration is for the command to tell.
 */
export async function confine(config: string | undefined): Promise<void> {
  if (process.env[CONFINED] === "1") {
    // Not for the children of this process: they may be another rimon.
    delete process.env[CONFINED];
    confined = true;
  }
  const loaded = loadAddon();
  if (confined || !loaded.ok) return;
  const needed = NEEDS.filter(({ needed }) => needed === always).map(({ capability }) => capability);
  const configuration = await suspicious(config);
  if (configuration !== undefined) needed.push(...capabilitiesFor(configuration));
  const held = loaded.addon.capabilities();
  if (held.every((capability) => needed.includes(capability))) return;
  const env = Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  loaded.addon.execWithCapabilities(
    process.execPath,
    [...inspectorOptions(), ...process.execArgv, ...process.argv.slice(1)],
    [...env, `${CONFINED}=1`],
    needed,
  );
}

/**
 * The configuration, if it may need more than what is always needed. To load what parses it and to parse it takes as long
 * as to start Node, so it is done only where one of these words stands in it, or an escape by which it could.
 */
async function suspicious(config: string | undefined): Promise<Configuration | undefined> {
  try {
    const text = readFileSync(config ?? DEFAULT_CONFIGURATION, "utf8");
    if (!/kill-suspect|gate|\\/.test(text)) return undefined;
    const { loadSetup } = await import("./setup.ts");
    return (await loadSetup(config === undefined ? {} : { config })).configuration;
  } catch {
    return undefined;
  }
}

function inspectorOptions(): string[] {
  const known = process.allowedNodeEnvironmentFlags.has(NO_INSPECTOR_SIGNAL);
  return known && !process.execArgv.includes(NO_INSPECTOR_SIGNAL) ? [NO_INSPECTOR_SIGNAL] : [];
}

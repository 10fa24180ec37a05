// File systems that a program answers for (FUSE). Any user may mount one, and whose server falls silent holds up whoever
// reads from it, for ever and beyond SIGKILL: rimon reads nothing there.

import { readFile } from "node:fs/promises";
import { mountsIn, nearestMount } from "./mountinfo.ts";

/** The kernel's own mount, which a memfd lies on and which is in no table. */
const KERNEL_OWN = "0:1";

/**
 * Whether a program answers for the file that a process runs, by the superblock that its mappings name: what stat(2) says
 * of a file is another number on btrfs and on an overlay of several file systems. True also of what is mounted nowhere
 * any more; undefined if the process is gone.
 */
export async function isExecutableServed(pid: number, exe: string): Promise<boolean | undefined> {
  const [maps, table] = await Promise.all([textOf(`/proc/${pid}/maps`), textOf(`/proc/${pid}/mountinfo`)]);
  const mapped = maps.split("\n").find((each) => each.endsWith(` ${exe}`));
  const [major, minor] = mapped?.split(/ +/)[3]?.split(":") ?? [];
  if (major === undefined || minor === undefined) return undefined;
  const device = `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`;
  if (device === KERNEL_OWN) return false;
  const type = [...mountsIn(table), ...mountsIn(await textOf("/proc/self/mountinfo"))].find(
    (mount) => mount.device === device,
  )?.type;
  return type === undefined || isServed(type);
}

/** The same of a path of ours, unless a link on the way to it leads elsewhere. */
export async function isPathServed(path: string): Promise<boolean> {
  const nearest = nearestMount(mountsIn(await textOf("/proc/self/mountinfo")), path);
  return nearest === undefined || isServed(nearest.type);
}

function isServed(type: string): boolean {
  return /^fuse(?:\.|$)/.test(type);
}

/** "" if the process is gone. */
function textOf(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

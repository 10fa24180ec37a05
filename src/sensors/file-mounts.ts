// Which filesystems hold the paths that are watched (proc_pid_mountinfo(5)).

import { isBelow, mountsIn, nearestMount } from "../mountinfo.ts";

/** What the kernel makes up: nothing of it is a file that somebody could keep. */
const MADE_UP: ReadonlySet<string> = new Set(
  "proc sysfs cgroup cgroup2 devpts devtmpfs debugfs tracefs securityfs pstore bpf configfs fusectl mqueue hugetlbfs binfmt_misc efivarfs autofs nsfs rpc_pipefs selinuxfs".split(
    " ",
  ),
);

/** A mount point, and what is watched of what is mounted there. */
export interface Place {
  readonly point: string;
  readonly paths: readonly string[];
}

/**
 * Where what holds a watched path is mounted, and every mount below one: a mount point stays what it is when what is in it
 * is moved away. Of what the kernel makes up only what is named; of what is below nothing, unless it is to be crossed to.
 */
export function mountsOf(mountinfo: string, paths: readonly string[], cross: boolean): Place[] {
  const mounts = mountsIn(mountinfo);
  const found = new Map<string, string[]>();
  const add = (point: string, path: string): void => void found.set(point, [...(found.get(point) ?? []), path]);
  for (const path of paths) {
    const nearest = nearestMount(mounts, path);
    if (nearest !== undefined) add(nearest.path, path);
    if (!cross) continue;
    for (const { path: point, type } of mounts) if (!MADE_UP.has(type) && isBelow(point, path)) add(point, point);
  }
  return [...found].map(([point, below]) => ({ point, paths: [...new Set(below)] }));
}

// The files of control groups that limit whoever is in them, by both versions, also where a node has both. Pure: texts come
// from who reads them.

import { mountsIn } from "../mountinfo.ts";

/** cgroup-v2.rst. The counters beside them are not among them. */
const UNIFIED = [
  "cpu.max",
  "cpu.weight",
  "cpuset.cpus",
  "cpuset.mems",
  "io.max",
  "memory.high",
  "memory.low",
  "memory.max",
  "memory.min",
  "memory.swap.max",
  "pids.max",
];

/** By controller of version 1 (admin-guide/cgroup-v1/). */
const BY_CONTROLLER: Readonly<Record<string, readonly string[]>> = {
  blkio: ["blkio.throttle.read_bps_device", "blkio.throttle.read_iops_device", "blkio.throttle.write_bps_device", "blkio.throttle.write_iops_device"], // prettier-ignore
  cpu: ["cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.rt_runtime_us", "cpu.shares"],
  cpuset: ["cpuset.cpus", "cpuset.mems"],
  devices: ["devices.list"],
  memory: ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes"],
  pids: ["pids.max"],
};

interface Hierarchy {
  /** Of version 1; undefined: the unified one. */
  readonly controllers?: readonly string[];
  /** Which of its groups is mounted, and where. */
  readonly root: string;
  readonly point: string;
}

/**
 * Lines of "file value" for a process with this /proc/PID/cgroup, where hierarchies are mounted as this mountinfo says;
 * undefined if none of its groups can be found. `read` has undefined of what is not there.
 */
export function cgroupLimits(
  cgroup: string,
  mountinfo: string,
  read: (path: string) => string | undefined,
): readonly string[] | undefined {
  const hierarchies = hierarchiesIn(mountinfo);
  let found = false;
  const limits = groupsIn(cgroup).flatMap(({ controllers, path }) => {
    const files = controllers === undefined ? UNIFIED : controllers.flatMap((each) => BY_CONTROLLER[each] ?? []);
    const folder = hierarchies.flatMap((each) => (isSame(each.controllers, controllers) ? (placeOf(path, each) ?? []) : []))[0]; // prettier-ignore
    if (folder === undefined) return [];
    found = true;
    return files.flatMap((name) => {
      const value = read(`${folder}/${name}`)?.trimEnd();
      return value === undefined ? [] : [`${name} ${value.replaceAll("\n", ", ")}`];
    });
  });
  return found ? limits : undefined;
}

/** cgroups(7): hierarchy-ID:controller-list:cgroup-path; the list of the unified one is empty. */
function groupsIn(cgroup: string): { readonly controllers?: readonly string[]; readonly path: string }[] {
  return cgroup.split("\n").flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    return controllers === "" ? { path } : { controllers: controllers.split(","), path };
  });
}

/** The controllers of version 1 stand among the options of the super block. */
function hierarchiesIn(mountinfo: string): Hierarchy[] {
  return mountsIn(mountinfo).flatMap(({ root, path: point, type, options: controllers }) => {
    if (type === "cgroup2") return { root, point };
    return type === "cgroup" ? { controllers, root, point } : [];
  });
}

/** Whether a group of these controllers is in the hierarchy; that of version 1 has options besides. */
function isSame(mounted: readonly string[] | undefined, wanted: readonly string[] | undefined): boolean {
  if (mounted === undefined || wanted === undefined) return mounted === wanted;
  return wanted.every((each) => mounted.includes(each));
}

/** Where a group is; undefined if it lies outside of what is mounted. */
function placeOf(path: string, { root, point }: Hierarchy): string | undefined {
  const parts = path === "/" ? "" : path;
  if (root === "/") return `${point}${parts}`;
  return path === root || path.startsWith(`${root}/`) ? `${point}${path.slice(root.length)}` : undefined;
}

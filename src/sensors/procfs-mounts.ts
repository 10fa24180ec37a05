// The superblocks of procfs in a mount table.

import { mountsIn } from "../mountinfo.ts";

export interface ProcfsMount {
  /** "0:23": major and minor of the superblock. */
  readonly device: string;
  /** Where it is mounted, in the order of the table. Something mounted later may cover any of them. */
  readonly paths: readonly string[];
}

/** Every superblock of procfs, and where its root is mounted. */
export function procfsMounts(text: string): ProcfsMount[] {
  const mounts = new Map<string, string[]>();
  for (const { type, root, device, path } of mountsIn(text)) {
    if (type !== "proc" || root !== "/") continue;
    const paths = mounts.get(device) ?? [];
    paths.push(path);
    mounts.set(device, paths);
  }
  return [...mounts].map(([device, paths]) => ({ device, paths }));
}

// Which file systems the exec gate is to mark: those that are named, and below them those that are mounted, now, in
// whatever mount namespace.

import type { GateMount } from "../configuration.ts";
import { isBelow, type Mount } from "../mountinfo.ts";

/**
 * Where programs lie. On others permission events make no sense or cannot be had; and one that a server of somebody's
 * answers for (fuse, fuseblk, nfs) would hold up the gate, and with it everybody, for as long as that server is silent.
 */
const CHECKED: ReadonlySet<string> = new Set(
  ["bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "ntfs3", "overlay"].concat([
    "ramfs",
    "squashfs",
    "tmpfs",
    "vfat",
    "xfs",
    "zfs",
  ]),
);

/** The mount table of a namespace, and a process by which it is come by. */
export interface MountTable {
  /** 0: our own. */
  readonly namespace: number;
  /** 0: us. */
  readonly pid: number;
  /** Another user namespace's: what is mounted in it, anybody may have mounted. */
  readonly foreign: boolean;
  readonly mounts: readonly Mounted[];
}

export type Mounted = Pick<Mount, "device" | "id" | "path" | "type">;

export interface WantedMark extends Mounted {
  readonly namespace: number;
  /** By whose root the path leads there. */
  readonly pid: number;
  readonly mode: GateMount["mode"];
  readonly opens: boolean;
}

export interface Wanted {
  /** One for each superblock. */
  readonly marks: readonly WantedMark[];
  /** What lies below, and is not checked: a sentence for each superblock where programs could lie. */
  readonly unchecked: readonly string[];
  /** A sentence for each that is named and cannot be had. */
  readonly problems: readonly string[];
}

/**
 * What is named must be mounted, in our own namespace: a path alone would lead, once it is unmounted, to the file system
 * below it. Our own table comes first.
 */
export function wantedMarks(settings: readonly GateMount[], tables: readonly MountTable[]): Wanted {
  const marks = new Map<string, WantedMark>();
  const unchecked = new Map<string, string>();
  const problems: string[] = [];
  for (const { namespace, pid, foreign, mounts: all } of tables) {
    // What is mounted last at a path covers what was mounted there before.
    const mounts = [...new Map(all.map((each) => [each.path, each])).values()];
    // The longest path knows best.
    for (const { path, mode, opens, below } of settings.toSorted((a, b) => b.path.length - a.path.length)) {
      const named = namespace === 0 ? mounts.find((mounted) => mounted.path === path) : undefined;
      if (namespace === 0 && named === undefined)
        problems.push(`nothing is mounted at ${path}: a mount point was expected`);
      else if (named !== undefined && !CHECKED.has(named.type))
        problems.push(`what is mounted at ${path} is ${named.type}, which is not checked`);
      for (const mounted of mounts) {
        if (mounted !== named && !(below && isBelow(mounted.path, path))) continue;
        const { device, type } = mounted;
        if (isChecked(mounted, foreign)) {
          if (!marks.has(device)) marks.set(device, { ...mounted, namespace, pid, mode, opens });
        } else if (holdsPrograms(type) && mounted !== named) {
          unchecked.set(device, `${mounted.path} (${type}${namespace === 0 ? "" : `, mount namespace ${namespace}`})`);
        }
      }
    }
  }
  for (const device of marks.keys()) unchecked.delete(device);
  return { marks: [...marks.values()], unchecked: [...unchecked.values()], problems };
}

/**
 * An overlay of another user namespace anybody may have laid over what a silent server answers for. Its layers, where
 * they are marked, have their events all the same if the kernel tellsLayers().
 */
export function isChecked({ type }: Mounted, foreign: boolean): boolean {
  return CHECKED.has(type) && !(foreign && type === "overlay");
}

/** Whether what is opened by way of an overlay is an event of the file system below, too: v6.5, bc2473c90fca. */
export function tellsLayers(release: string): boolean {
  const [, major = 0, minor = 0] = /^(\d+)\.(\d+)/.exec(release)?.map(Number) ?? [];
  return major > 6 || (major === 6 && minor >= 5);
}

/** Not checked, though programs can lie there. */
export function holdsPrograms(type: string): boolean {
  return type.startsWith("fuse") || /^(?:nfs|cifs|smb3|9p|ceph|virtiofs|overlay)/.test(type);
}

/** What decides for what lies there, wherever it is mounted; undefined: nobody asked for it. */
export function coveredBy(settings: readonly GateMount[], path: string): GateMount | undefined {
  return settings
    .toSorted((a, b) => b.path.length - a.path.length)
    .find(({ path: folder, below }) => below && isBelow(path, folder));
}

// Which file systems the exec gate is to mark: those that are named, and below them those that are mounted, now.

import type { GateMount } from "../configuration.ts";
import { unescapeOctal } from "./mountinfo.ts";

/** Where programs lie. On others permission events make no sense, or cannot be had. */
const CHECKED: ReadonlySet<string> = new Set(
  [
    "bcachefs",
    "btrfs",
    "erofs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fuseblk",
    "iso9660",
    "ntfs3",
    "overlay",
  ].concat(["ramfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs"]),
);

export interface WantedMark {
  /** "0:23": major and minor of the superblock. */
  readonly device: string;
  /** Of the mount. */
  readonly id: number;
  readonly path: string;
  readonly mode: GateMount["mode"];
  readonly opens: boolean;
}

interface Mounted {
  readonly device: string;
  readonly id: number;
  readonly path: string;
  readonly type: string;
}

/**
 * One for each superblock, and a sentence for each that cannot be had. What is named must be mounted: a path alone would
 * lead, once it is unmounted, to the file system below it.
 */
export function wantedMarks(
  settings: readonly GateMount[],
  mountinfo: string,
): { readonly marks: readonly WantedMark[]; readonly problems: readonly string[] } {
  // What is mounted last at a path covers what was mounted there before.
  const mounts = [...new Map(mountsIn(mountinfo).map((each) => [each.path, each])).values()];
  const marks = new Map<string, WantedMark>();
  const problems: string[] = [];
  // The longest path knows best.
  for (const { path, mode, opens, below } of settings.toSorted((a, b) => b.path.length - a.path.length)) {
    const named = mounts.find((mounted) => mounted.path === path);
    if (named === undefined) problems.push(`nothing is mounted at ${path}: a mount point was expected`);
    else if (!CHECKED.has(named.type))
      problems.push(`what is mounted at ${path} is ${named.type}, which is not checked`);
    for (const { device, id, path: at, type } of mounts) {
      if (at !== path && !(below && isBelow(at, path))) continue;
      if (CHECKED.has(type) && !marks.has(device)) marks.set(device, { device, id, path: at, mode, opens });
    }
  }
  return { marks: [...marks.values()], problems };
}

function isBelow(path: string, folder: string): boolean {
  return folder === "/" || path.startsWith(`${folder}/`);
}

function mountsIn(text: string): readonly Mounted[] {
  return text.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ");
    const [id, , device, , path] = before?.split(" ") ?? [];
    const type = after?.split(" ")[0];
    return device === undefined || path === undefined || type === undefined
      ? []
      : [{ device, id: Number(id), path: unescapeOctal(path), type }];
  });
}

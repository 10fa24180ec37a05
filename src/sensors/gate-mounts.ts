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
  readonly path: string;
  readonly mode: GateMount["mode"];
  readonly opens: boolean;
}

interface Mounted {
  readonly device: string;
  readonly path: string;
  readonly type: string;
}

/** One for each superblock, and a sentence for each mount that is named and cannot be had. */
export function wantedMarks(
  settings: readonly GateMount[],
  mountinfo: string,
): { readonly marks: readonly WantedMark[]; readonly problems: readonly string[] } {
  const mounts = mountsIn(mountinfo);
  const marks = new Map<string, WantedMark>();
  const problems: string[] = [];
  // The longest path knows best.
  for (const { path, mode, opens, below } of settings.toSorted((a, b) => b.path.length - a.path.length)) {
    const on = mounts.findLast((mounted) => isBelow(path, mounted.path) && isLongest(path, mounted, mounts));
    if (on === undefined || !CHECKED.has(on.type)) {
      problems.push(`${path} is on a file system of type ${on?.type ?? "unknown"}, where nothing is checked`);
    } else if (!marks.has(on.device)) marks.set(on.device, { device: on.device, path, mode, opens });
    if (!below) continue;
    for (const each of mounts)
      if (isBelow(each.path, path) && CHECKED.has(each.type) && !marks.has(each.device))
        marks.set(each.device, { device: each.device, path: each.path, mode, opens });
  }
  return { marks: [...marks.values()], problems };
}

function isLongest(path: string, { path: on }: Mounted, mounts: readonly Mounted[]): boolean {
  return mounts.every((other) => !isBelow(path, other.path) || other.path.length <= on.length);
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || folder === "/" || path.startsWith(`${folder}/`);
}

function mountsIn(text: string): readonly Mounted[] {
  return text.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ");
    const [, , device, , path] = before?.split(" ") ?? [];
    const type = after?.split(" ")[0];
    return device === undefined || path === undefined || type === undefined
      ? []
      : [{ device, path: unescapeOctal(path), type }];
  });
}

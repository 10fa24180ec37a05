// The mount table of a mount namespace, as proc_pid_mountinfo(5) has it. Pure: the text comes from who reads it.

export interface Mount {
  readonly id: number;
  /** "0:23": major and minor of the superblock. */
  readonly device: string;
  /** What of the file system is mounted. */
  readonly root: string;
  /** Where. */
  readonly path: string;
  /** "ext4", "fuse.sshfs" */
  readonly type: string;
  readonly source: string;
  /** Of the superblock: "upperdir=/a". A comma within one is escaped. */
  readonly options: readonly string[];
}

/** In the order of the table: what is mounted later covers what was at its path before. Lines that make no sense are left out. */
export function mountsIn(text: string): readonly Mount[] {
  return text.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ");
    const [id, , device, root, path] = before?.split(" ") ?? [];
    const [type, source = "", options = ""] = after?.split(" ") ?? [];
    if (device === undefined || root === undefined || path === undefined || type === undefined) return [];
    return {
      id: Number(id),
      device,
      root: unescaped(root),
      path: unescaped(path),
      type,
      source: unescaped(source),
      options: options.split(",").map(unescaped),
    };
  });
}

/** What a path leads to, unless a link on the way leads elsewhere. */
export function nearestMount(mounts: readonly Mount[], path: string): Mount | undefined {
  let nearest: Mount | undefined;
  for (const each of mounts)
    if (isBelow(path, each.path) && each.path.length >= (nearest?.path.length ?? 0)) nearest = each;
  return nearest;
}

/** An st_dev as the table writes it; the bits are those of makedev(3), of which the kernel uses 32. */
export function deviceOf(dev: number): string {
  return `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`;
}

/** At the folder, too. */
export function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

// The mount table of a mount namespace, as far as it holds procfs (proc_pid_mountinfo(5)).

export interface ProcfsMount {
  /** "0:23": major and minor of the superblock. */
  readonly device: string;
  /** Where it is mounted, in the order of the table. Something mounted later may cover any of them. */
  readonly paths: readonly string[];
}

/** Every superblock of procfs, and where its root is mounted. */
export function procfsMounts(text: string): ProcfsMount[] {
  const mounts = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [before, after] = line.split(" - ");
    const fields = before?.split(" ") ?? [];
    const [, , device, root, path] = fields;
    if (after?.split(" ")[0] !== "proc" || root !== "/" || device === undefined || path === undefined) continue;
    const paths = mounts.get(device) ?? [];
    paths.push(unescapeOctal(path));
    mounts.set(device, paths);
  }
  return [...mounts].map(([device, paths]) => ({ device, paths }));
}

/** An st_dev as the table writes it; the bits are those of makedev(3), of which the kernel uses 32. */
export function deviceOf(dev: number): string {
  return `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`;
}

export function unescapeOctal(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

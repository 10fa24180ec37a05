// The mount table of a mount namespace, as far as it holds procfs (proc_pid_mountinfo(5)).

export interface ProcfsMount {
  /** "0:23": major and minor of the superblock. */
  readonly device: string;
  readonly path: string;
}

/** Every mount whose root is the root of a procfs; the first one of each superblock. */
export function procfsMounts(text: string): ProcfsMount[] {
  const mounts = new Map<string, ProcfsMount>();
  for (const line of text.split("\n")) {
    const [before, after] = line.split(" - ");
    const fields = before?.split(" ") ?? [];
    const [, , device, root, path] = fields;
    if (after?.split(" ")[0] !== "proc" || root !== "/" || device === undefined || path === undefined) continue;
    if (!mounts.has(device)) mounts.set(device, { device, path: unescapeOctal(path) });
  }
  return [...mounts.values()];
}

function unescapeOctal(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

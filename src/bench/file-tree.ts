// A tree of files on a tmpfs of the bench's own: what /usr has, up to a bound, and small files until there are enough. In memory,
// so that the disk and what the kernel keeps of it are not what is measured.

import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { findProgram, run } from "./programs.ts";

export interface FileTree {
  readonly root: string;
  readonly entries: number;
  readonly bytes: number;
  /** Of its regular files. */
  readonly paths: readonly string[];
}

export interface TreeSize {
  readonly entries: number;
  readonly bytes: number;
}

const SOURCE = "/usr";
const SMALL = 2_000;
const IN_A_FOLDER = 500;

/** Mounts a tmpfs on a folder; gives what takes it away again. */
export async function mountTmpfs(folder: string, bytes: number, signal: AbortSignal): Promise<() => Promise<void>> {
  const [mount, umount] = [findProgram("mount"), findProgram("umount")];
  if (mount === undefined || umount === undefined) throw new Error("mount and umount are not installed");
  mkdirSync(folder);
  await run(mount, ["-t", "tmpfs", "-o", `size=${bytes},nr_inodes=0,mode=0700`, "rimon-bench", folder], { signal });
  // Not by the bench's signal: it is taken away just then.
  return async () => void (await run(umount, ["-l", folder]));
}

export function makeTree(root: string, size: TreeSize): FileTree {
  const paths: string[] = [];
  let [entries, bytes] = [1, 0];
  const isFull = (): boolean => entries >= size.entries;

  const copy = (from: string, to: string): void => {
    mkdirSync(to);
    for (const each of readdirSync(from, { withFileTypes: true })) {
      if (isFull() || bytes >= size.bytes) return;
      const [source, target] = [join(from, each.name), join(to, each.name)];
      if (each.isDirectory()) {
        entries++;
        copy(source, target);
      } else if (each.isSymbolicLink()) {
        symlinkSync(readlinkSync(source), target);
        entries++;
      } else if (each.isFile()) {
        const { size: length } = statSync(source);
        // One large file would be most of what is measured.
        if (length > size.bytes / 20) continue;
        copyFileSync(source, target);
        paths.push(target);
        bytes += length;
        entries++;
      }
    }
  };

  copy(SOURCE, root);
  for (let number = 0; !isFull(); number++) {
    const folder = join(root, `small-${Math.floor(number / IN_A_FOLDER)}`);
    if (number % IN_A_FOLDER === 0) {
      mkdirSync(folder);
      entries++;
    }
    if (isFull()) break;
    const path = join(folder, String(number));
    writeFileSync(path, String(number).padEnd(SMALL));
    paths.push(path);
    entries++;
    bytes += SMALL;
  }
  return { root, entries, bytes, paths };
}

/** What there is of a folder on its own filesystem, as a walk over it finds it. */
export function treeAt(root: string): FileTree {
  const paths: string[] = [];
  const { dev } = lstatSync(root);
  let [entries, bytes] = [1, 0];

  const look = (folder: string): void => {
    for (const each of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, each.name);
      entries++;
      if (each.isDirectory()) {
        if (lstatSync(path).dev === dev) look(path);
      } else if (each.isFile()) {
        paths.push(path);
        bytes += lstatSync(path).size;
      }
    }
  };

  look(root);
  return { root, entries, bytes, paths };
}

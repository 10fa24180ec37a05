// What the packages of a node say their files are: the database of dpkg, read for the files that are asked for and
// forgotten. The hashes are MD5, since dpkg has no others: enough against a file that is not the package's, not against
// somebody who made two files of one hash.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readFile, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";

const DPKG = "/var/lib/dpkg";
/** Of a database that is larger nothing is believed. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MD5_LINE = /^([0-9a-f]{32}) {1,2}(.+)$/;

export type Verdict =
  /** Its content is what the package says. */
  | "verified"
  | "differing"
  /** It is of a package, which says no more of it: a folder, a link. */
  | "owned"
  /** Of no package. */
  | "strange"
  /** It is not there any more. */
  | "gone";

export interface Verified {
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly packages: readonly string[];
}

/** Holds files below `root` against the database of dpkg there. Throws what is wrong with the database. */
export async function verifyByDpkg(paths: Iterable<string>, root: string = ""): Promise<Verified> {
  const database = `${root}${DPKG}`;
  const merged = await mergedFolders(root);
  const asked = new Map<string, string>();
  for (const path of paths)
    if (path.startsWith(`${root}/`)) asked.set(canonical(path.slice(root.length), merged), path);
  const hashes = new Map<string, string>();
  const owners = new Map<string, string>();
  const info = join(database, "info");
  for (const name of (await readdir(info)).toSorted()) {
    const [, owner, what] = /^(.+)\.(md5sums|list)$/.exec(name) ?? [];
    if (owner === undefined) continue;
    for (const line of await linesOf(join(info, name))) {
      const [, hash, relative] = what === "list" ? [] : (MD5_LINE.exec(line) ?? []);
      const path = canonical(what === "list" ? line : `/${relative ?? ""}`, merged);
      if (!asked.has(path)) continue;
      owners.set(path, owner);
      if (hash !== undefined) hashes.set(path, hash);
    }
  }
  for (const line of await linesOf(join(database, "status"))) {
    // Conffiles: " /etc/x 0123... [obsolete]"
    const [, path, hash] = /^ (\/.+) ([0-9a-f]{32})(?: obsolete)?(?: remove-on-upgrade)?$/.exec(line) ?? [];
    if (path !== undefined && hash !== undefined && asked.has(canonical(path, merged)))
      hashes.set(canonical(path, merged), hash);
  }
  const verdicts = new Map<string, Verdict>();
  const packages = new Set<string>();
  for (const [path, as] of asked) {
    const owner = owners.get(path);
    const verdict = await verdictOf(`${root}${path}`, hashes.get(path), owner !== undefined);
    verdicts.set(as, verdict);
    // A folder is of every package that has something in it.
    if (owner !== undefined && verdict !== "owned") packages.add(owner);
  }
  return { verdicts, packages: [...packages] };
}

async function verdictOf(path: string, hash: string | undefined, owned: boolean): Promise<Verdict> {
  try {
    const found = await lstat(path);
    if (hash === undefined || !found.isFile()) return owned ? "owned" : "strange";
    return (await md5Of(path)) === hash ? "verified" : "differing";
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return "gone";
    throw thrown;
  }
}

async function md5Of(path: string): Promise<string> {
  const hash = createHash("md5");
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest("hex");
}

async function linesOf(path: string): Promise<string[]> {
  if ((await lstat(path)).size > MAX_FILE_BYTES) throw new Error(`${path} has more than ${MAX_FILE_BYTES} bytes`);
  return (await readFile(path, "utf8")).split("\n");
}

/** Folders at the root that are links to those of /usr: packages name their files by either. */
async function mergedFolders(root: string): Promise<ReadonlyMap<string, string>> {
  const merged = new Map<string, string>();
  for (const name of ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]) {
    const target = await readlink(`${root}/${name}`).catch(() => undefined);
    if (target !== undefined) merged.set(name, join("/", target));
  }
  return merged;
}

function canonical(path: string, merged: ReadonlyMap<string, string>): string {
  const [, first, rest] = /^\/([^/]+)(\/.*)?$/.exec(path) ?? [];
  const target = first === undefined ? undefined : merged.get(first);
  return target === undefined ? path : `${target}${rest ?? ""}`;
}

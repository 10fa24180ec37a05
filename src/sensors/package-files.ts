// Whether files are what the packages of a node say.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { DATABASES, type Database, type Said } from "./package-databases.ts";

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

export type VerifyPackages = (database: Database, paths: Iterable<string>) => Promise<Verified>;

/** Holds files below `root` against the database there. Throws what is wrong with the database. */
export async function verifyPackages(
  database: Database,
  paths: Iterable<string>,
  root: string = "",
): Promise<Verified> {
  const merged = await mergedFolders(root);
  const asked = new Map<string, string>();
  for (const path of paths)
    if (path.startsWith(`${root}/`)) asked.set(canonical(path.slice(root.length), merged), path);
  const said = await DATABASES[database](asked, (path) => canonical(path, merged), root);
  const verdicts = new Map<string, Verdict>();
  const packages = new Set<string>();
  for (const [path, as] of asked) {
    const about = said.get(path);
    const verdict = await verdictOf(`${root}${path}`, about);
    verdicts.set(as, verdict);
    // A folder is of every package that has something in it.
    if (about !== undefined && verdict !== "owned") packages.add(about.owner);
  }
  return { verdicts, packages: [...packages] };
}

async function verdictOf(path: string, said: Said | undefined): Promise<Verdict> {
  try {
    const found = await lstat(path);
    if (said?.digest === undefined || !found.isFile()) return said === undefined ? "strange" : "owned";
    const { algorithm, hex } = said.digest;
    return (await digestOf(path, algorithm)) === hex ? "verified" : "differing";
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return "gone";
    throw thrown;
  }
}

async function digestOf(path: string, algorithm: string): Promise<string> {
  const hash = createHash(algorithm);
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest("hex");
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

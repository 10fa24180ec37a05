// Whether files are what the packages of a node say.

import { createHash } from "node:crypto";
import { createReadStream, type Stats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { attributeOf } from "../baselines/files/compare.ts";
import { entriesIn, entryOf } from "../files/scan.ts";
import { walk } from "../files/walk.ts";
import { DATABASES, type Database, type Said } from "./package-databases.ts";

export type Verdict =
  /** It is what the package says. */
  | "verified"
  | "differing"
  /** A folder or a link of a package, which says no more of it. */
  | "owned"
  /** A file of a package, which does not say what is in it. */
  | "unsaid"
  /** Of no package. */
  | "strange"
  /** It is not there any more, and no package has it. */
  | "gone"
  /** It is not there any more, and a package has it. */
  | "missing";

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
  const capabilities = await capabilitiesOf(
    [...said].flatMap(([path, { attributes }]) => (attributes === undefined ? [] : [`${root}${path}`])),
  );
  const verdicts = new Map<string, Verdict>();
  const packages = new Set<string>();
  for (const [path, as] of asked) {
    const about = said.get(path);
    const verdict = await verdictOf(`${root}${path}`, about, capabilities);
    verdicts.set(as, verdict);
    // A folder is of every package that has something in it.
    if (about !== undefined && verdict !== "owned") packages.add(about.owner);
  }
  return { verdicts, packages: [...packages] };
}

async function verdictOf(
  path: string,
  said: Said | undefined,
  capabilities: ReadonlyMap<string, string>,
): Promise<Verdict> {
  try {
    const found = await lstat(path);
    if (said === undefined) return "strange";
    const { digest, attributes } = said;
    if (digest !== undefined && !found.isFile()) return "differing";
    if (attributes !== undefined) {
      if (!(await hasAttributes(path, found, attributes))) return "differing";
      if (found.isFile() && capabilities.get(path) !== attributes.capabilities) return "differing";
    }
    if (digest === undefined) return found.isFile() ? "unsaid" : "owned";
    return (await digestOf(path, digest.algorithm)) === digest.hex ? "verified" : "differing";
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return said === undefined ? "gone" : "missing";
    throw thrown;
  }
}

async function hasAttributes(
  path: string,
  found: Stats,
  { mode, user, group, target }: NonNullable<Said["attributes"]>,
): Promise<boolean> {
  if (found.mode !== mode) return false;
  // The one user whose number is known.
  if ((user === "root" && found.uid !== 0) || (group === "root" && found.gid !== 0)) return false;
  return !found.isSymbolicLink() || target === undefined || (await readlink(path)) === target;
}

/** Of those that have any. */
async function capabilitiesOf(paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for await (const batch of walk({ ...ATTRIBUTES_ALONE, roots: paths.map((path) => Buffer.from(path)) })) {
    for (const bytes of entriesIn(batch)) {
      const entry = entryOf(bytes);
      const capabilities = attributeOf(entry, "capabilities");
      if (capabilities !== undefined) found.set(entry.path.toString(), capabilities);
    }
  }
  return found;
}

const ATTRIBUTES_ALONE = {
  rules: [{ path: "/", group: "presence" }],
  crossFilesystems: false,
  maxBytes: 0,
  list: true,
  threads: 1,
  idle: false,
} as const;

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

// What the drill's monitor holds against what is known good: a folder of files with a baseline of them, and a tmpfs on
// which one program is known. The exec gate marks that tmpfs and nothing else: it is mounted in a mount namespace that ends
// with the process that holds it, and both the drill and its monitor look whether it is what is mounted there.

import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { executablesStatement } from "../baselines/executables.ts";
import { statementBytes } from "../baselines/statement.ts";
import { reasonOf } from "../errors.ts";
import { initFiles } from "../files/check.ts";
import { headerNow } from "../machine.ts";
import { mountsIn } from "../mountinfo.ts";
import { findProgram } from "./find-program.ts";
import { NotRun } from "./not-done.ts";
import { Program } from "./program.ts";

/** What a technique needs to be known. */
export type Known = "snapshots" | "files" | "gate";

export interface KnownFiles {
  readonly folder: string;
  /** The statement of their baseline. */
  readonly baseline: string;
  /** The last of them in the order of a walk, changed since: once it is told, the first comparison of all has been made. */
  readonly last: string;
}

export interface KnownPrograms {
  /** The process that holds the tmpfs, and where it is mounted in its mount namespace. */
  readonly holder: number;
  readonly mount: string;
  /** What is mounted there, as mountinfo names it. */
  readonly source: string;
  /** The baseline of executables. */
  readonly baseline: string;
  /** By a path that leads there from everywhere. */
  readonly known: string;
  readonly unknown: string;
  /** SHA-256 of the unknown one, hexadecimal. */
  readonly digest: string;
}

export interface Ground {
  /** Whether snapshots are compared. */
  readonly snapshots: boolean;
  /** Throws NotRun, with the reason, where there are none. */
  files(): KnownFiles;
  programs(): KnownPrograms;
  /** What of it is there. */
  readonly laid: { readonly files?: KnownFiles; readonly programs?: KnownPrograms };
  /** Takes the tmpfs away. */
  end(): Promise<void>;
}

export interface GroundOptions {
  readonly folder: string;
  readonly known: ReadonlySet<Known>;
  /** Names of the files, each a small program. */
  readonly files: readonly string[];
}

const NOBODY_ASKED = "nothing is known to be good: nobody asked for it";
const LAST = "~";
const SMALL_PROGRAM = "#!/bin/sh\n:\n";
/** $0 is the source, $1 where: mounts, says so, and holds it until its input ends. */
const HOLDING = `mount -t tmpfs -o mode=0755,size=16m "$0" "$1" || exit; echo '{}' >&3; read -r go`;

/** Lays what is asked for; what cannot be laid is told by who asks for it. */
export async function layGround({ folder, known, files: names }: GroundOptions): Promise<Ground> {
  mkdirSync(folder, { recursive: true });
  const files = await attempt(known.has("files"), () => layFiles(folder, names));
  const laid = await attempt(known.has("gate"), () => mountPrograms(folder));
  return {
    snapshots: known.has("snapshots"),
    files: () => orNotRun(files),
    programs: () => orNotRun(laid).programs,
    laid: {
      ...("value" in files ? { files: files.value } : {}),
      ...("value" in laid ? { programs: laid.value.programs } : {}),
    },
    async end() {
      if ("value" in laid) await laid.value.holder.end();
    },
  };
}

/** Of who asks for none. */
export const BARE: Ground = {
  snapshots: false,
  files: () => orNotRun({ reason: NOBODY_ASKED }),
  programs: () => orNotRun({ reason: NOBODY_ASKED }),
  laid: {},
  async end() {},
};

type Attempted<Value> = { readonly value: Value } | { readonly reason: string };

async function attempt<Value>(asked: boolean, lay: () => Promise<Value>): Promise<Attempted<Value>> {
  if (!asked) return { reason: NOBODY_ASKED };
  try {
    return { value: await lay() };
  } catch (thrown) {
    return { reason: reasonOf(thrown) };
  }
}

function orNotRun<Value>(attempted: Attempted<Value>): Value {
  if ("value" in attempted) return attempted.value;
  throw new NotRun(attempted.reason);
}

async function layFiles(folder: string, names: readonly string[]): Promise<KnownFiles> {
  const watched = join(folder, "files");
  mkdirSync(watched);
  for (const name of [...names, LAST]) writeFileSync(join(watched, name), SMALL_PROGRAM, { mode: 0o755 });
  const baseline = join(folder, "files.json");
  await initFiles({ file: baseline, roots: [watched], rules: [{ path: watched, group: "immutable" }], threads: 1 });
  const last = join(watched, LAST);
  writeFileSync(last, SMALL_PROGRAM, { flag: "a" });
  return { folder: watched, baseline, last };
}

async function mountPrograms(folder: string): Promise<{ programs: KnownPrograms; holder: Program }> {
  const mount = join(folder, "programs");
  const source = `rimon-drill-${randomBytes(8).toString("hex")}`;
  mkdirSync(mount);
  findProgram("mount");
  const holder = new Program(findProgram("unshare"), ["--mount", "--", "/bin/sh", "-c", HOLDING, source, mount]);
  try {
    await holder.hear();
    // By the way that the monitor is going to take.
    const [path, args] = inMountsOf(holder.pid, [
      "/bin/sh",
      "-c",
      'while read -r line; do printf "%s\\n" "$line"; done < /proc/self/mountinfo',
    ]);
    const problem = ownTmpfsProblem(execFileSync(path, args, { encoding: "utf8", stdio: "pipe" }), mount, source);
    if (problem !== undefined) throw new Error(problem);
    if (readFileSync("/proc/self/mountinfo", "utf8").includes(source))
      throw new Error("what is mounted in a mount namespace of its own shows in this one, too");
    return { programs: await layPrograms(folder, holder.pid, mount, source), holder };
  } catch (thrown) {
    await holder.end();
    throw thrown;
  }
}

async function layPrograms(folder: string, holder: number, mount: string, source: string): Promise<KnownPrograms> {
  const there = `/proc/${holder}/root${mount}`;
  // Called sh: what is busybox looks at its name.
  const [known, unknown] = [join(there, "known", "sh"), join(there, "unknown", "sh")];
  const shell = realpathSync(findProgram("sh"));
  for (const [path, name] of [
    [known, "known"],
    [unknown, "unknown"],
  ] as const) {
    mkdirSync(join(there, name));
    copyFileSync(shell, path);
  }
  // What stands behind an ELF file is not loaded.
  writeFileSync(unknown, `\n${source}\n`, { flag: "a" });
  const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
  const baseline = join(folder, "programs.json");
  const executables = [{ path: join(mount, "known", "sh"), sha256: digestOf(known) }];
  writeFileSync(baseline, statementBytes(executablesStatement(headerNow(undefined), [mount], executables)));
  return { holder, mount, source, baseline, known, unknown, digest: digestOf(unknown) };
}

/**
 * Why the exec gate is not to mark what is mounted there; undefined: it is the drill's own tmpfs, and what is mounted last
 * there.
 */
export function ownTmpfsProblem(mountinfo: string, mount: string, source: string): string | undefined {
  const mounts = mountsIn(mountinfo);
  const there = mounts.findLast(({ path }) => path === mount);
  if (there === undefined) return `nothing is mounted at ${mount}`;
  if (there.type !== "tmpfs" || there.source !== source || there.root !== "/")
    return `what is mounted at ${mount} is ${there.type} (${there.source}), and not the drill's own tmpfs`;
  // A mark is one of the file system, wherever else that is mounted.
  const elsewhere = mounts.find((each) => each.device === there.device && each.path !== mount);
  return elsewhere === undefined ? undefined : `the file system at ${mount} is mounted at ${elsewhere.path}, too`;
}

/** Node's arguments as those of a program in the mount namespace of another, in the folder it is started in. */
export function inMountsOf(holder: number, command: readonly string[]): readonly [path: string, args: string[]] {
  const inFolder = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', process.cwd(), ...command];
  return [findProgram("nsenter"), ["--target", String(holder), "--mount", "--", ...inFolder]];
}

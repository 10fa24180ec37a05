// Baselines of files: what init and a full check take beside the bare reading and hashing of the same files, beside sha256sum
// and beside AIDE; a check in which nothing changed beside bare statx; what memory that takes.

import { writeFileSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import { besideBare, measured, mustBe, ordered, sizeOf, THREADS } from "./file-runs.ts";
import { fileStorms } from "./file-storm.ts";
import { makeTree, mountTmpfs, treeAt, type FileTree } from "./file-tree.ts";
import type { FilesDone } from "./files-child.ts";
import { pause } from "./monitors.ts";
import { statTree } from "./primitives.ts";
import { findProgram } from "./programs.ts";
import type { Bench, BenchContext } from "./result.ts";
import { exactly, ratioOf, spread, type Pair } from "./statistics.ts";

const INSTALLED = "/usr";
const INSTALLED_ROUNDS = 3;
const FULL = { entries: 150_000, bytes: 1_200_000_000, rounds: 5 };
const QUICK = { entries: 3_000, bytes: 25_000_000, rounds: 2 };
/** What was written within two seconds of its reading is read again: a baseline of a node at rest has little of it. */
const SETTLES_MS = 2_200;

export const files: Bench = {
  name: "files",
  summary: "baselines of files, beside bare loops, sha256sum and AIDE; changes of files that are held without a loss",
  needsRoot: true,
  async run(context) {
    const size = context.quick ? QUICK : FULL;
    // The tree, AIDE and what else there is: a node must not run out of memory for a bench.
    const room = Math.floor(freemem() / 4);
    if (room < size.bytes) {
      const why = `${Math.round(size.bytes / 1e6)} MB of files in memory need four times as much free, and there are ${Math.round(freemem() / 1e6)} MB`;
      context.leftOut("", "all of it", why);
      return;
    }
    const mounted = join(context.folder, "mounted");
    const unmount = await mountTmpfs(mounted, 4 * size.bytes, context.signal);
    try {
      context.progress(`making ${size.entries} files`);
      const tree = makeTree(join(mounted, "tree"), size);
      await pause(SETTLES_MS, context.signal);
      await baselines(context, tree, size.rounds);
      await aideAsDebian(context, mounted);
      await fileStorms(context, mounted);
    } finally {
      await unmount();
    }
    await installed(context, INSTALLED_ROUNDS);
  },
};

async function baselines(context: BenchContext, tree: FileTree, rounds: number): Promise<void> {
  const file = join(context.folder, "baseline.json");
  const what = sizeOf(tree);
  const { bare, init, full } = await besideBare(context, "", tree, file, rounds);
  await incremental(context, tree, file, rounds, what);
  await sha256sum(context, tree, what, bare);
  await aide(context, BEST, tree, { init: Math.min(...init), full: Math.min(...full) });
}

/** What is installed here: files of the size that files have, on the disk that they are on, in memory by then. */
async function installed(context: BenchContext, rounds: number): Promise<void> {
  const name = `init and full check of ${INSTALLED}`;
  if (context.quick) return context.leftOut("installed", name, "a quick run has no time for it");
  context.progress(`looking at ${INSTALLED}`);
  const tree = treeAt(INSTALLED);
  if (2 * tree.bytes > freemem()) {
    const why = `${Math.round(tree.bytes / 1e6)} MB of files in memory need twice as much free, and there are ${Math.round(freemem() / 1e6)} MB`;
    return context.leftOut("installed", name, why);
  }
  await besideBare(context, "installed/", tree, join(context.folder, "installed.json"), rounds);
}

async function incremental(
  context: BenchContext,
  tree: FileTree,
  file: string,
  rounds: number,
  what: string,
): Promise<void> {
  const pairs: Pair[] = [];
  let done: FilesDone | undefined;
  context.progress("a check in which nothing changed");
  for (let round = 0; round < 2 * rounds; round++) {
    const against = statTree(tree.root, THREADS).wallNs / 1e6;
    // The first of two has what Node compiles.
    done = await ordered({ what: "check", file, times: 2 }, context.signal);
    mustBe(done.differences === 0 && done.entries === tree.entries, "files that nobody changed differ", done);
    pairs.push({ of: done.wallMs[1] ?? Number.NaN, against });
  }
  const seconds = (ms: readonly number[]) => spread(ms.map((each) => each / 1_000));
  context.figure({
    id: "incremental/wall",
    label: [what, "check in which nothing changed, 2 threads"],
    unit: "s",
    estimate: seconds(pairs.map(({ of }) => of)),
  });
  context.figure({
    id: "incremental/floor",
    label: [what, "statx of all, and nothing else, 2 threads"],
    unit: "s",
    estimate: seconds(pairs.map(({ against }) => against)),
  });
  context.figure({
    id: "incremental/of-floor",
    label: "check in which nothing changed, of statx alone",
    unit: "times",
    estimate: ratioOf(pairs),
    interval: "95 %",
  });
  if (done !== undefined)
    context.figure({
      id: "incremental/resident",
      label: "check in which nothing changed, peak resident memory, Node with it",
      unit: "MB",
      estimate: exactly(done.residentMb),
    });
}

async function sha256sum(context: BenchContext, tree: FileTree, what: string, bare: readonly number[]): Promise<void> {
  const [xargs, sum] = [findProgram("xargs"), findProgram("sha256sum")];
  if (xargs === undefined || sum === undefined)
    return context.leftOut("sha256sum", "sha256sum", "xargs or sha256sum is not installed");
  context.progress("sha256sum");
  const input = tree.paths.map((path) => `${path}\0`).join("");
  const { wallMs } = await measured(xargs, ["-0", `-P${THREADS}`, "-n500", sum], context.signal, input);
  context.figure({
    id: "sha256sum/wall",
    label: [what, "sha256sum by xargs -P2"],
    unit: "s",
    estimate: exactly(wallMs / 1_000),
  });
  context.figure({
    id: "sha256sum/of-bare",
    label: "sha256sum by xargs -P2, of the bare loop",
    unit: "times",
    estimate: exactly(wallMs / Math.min(...bare)),
    better: "neither",
  });
}

interface Aide {
  readonly name: "best" | "debian";
  readonly label: string;
  readonly attributes: string;
  readonly workers: number;
}

/** All that rimon keeps, and one digest, with a worker for each thread. */
const BEST: Aide = {
  name: "best",
  label: "AIDE, SHA-256, 2 workers",
  attributes: "p+ftype+i+l+n+u+g+s+m+c+acl+selinux+xattrs+e2fsattrs+caps+sha256",
  workers: 2,
};

/**
 * What /etc/aide/aide.conf of Debian 12 has for files that do not change (Full, Checksums = H: every digest that it can), with
 * the one worker that it starts with. Its tree is a small one, since it takes its time.
 */
const DEBIAN: Aide = {
  name: "debian",
  label: "AIDE as Debian configures it",
  attributes: "p+ftype+i+l+n+u+g+s+b+m+c+acl+selinux+xattrs+e2fsattrs+caps+H",
  workers: 1,
};
const DEBIAN_SIZE = { entries: 10_000, bytes: 60_000_000 };

async function aideAsDebian(context: BenchContext, mounted: string): Promise<void> {
  if (context.quick) return context.leftOut("aide/debian", DEBIAN.label, "a quick run has no time for it");
  if (findProgram("aide") === undefined) return;
  const tree = makeTree(join(mounted, "small"), DEBIAN_SIZE);
  const file = join(context.folder, "small.json");
  const ours = {
    init: await ordered({ what: "init", file, root: tree.root }, context.signal),
    full: await ordered({ what: "full", file, times: 1 }, context.signal),
  };
  await aide(context, DEBIAN, tree, {
    init: ours.init.wallMs[0] ?? Number.NaN,
    full: ours.full.wallMs[0] ?? Number.NaN,
  });
}

async function aide(
  context: BenchContext,
  which: Aide,
  tree: FileTree,
  ours: { readonly init: number; readonly full: number },
): Promise<void> {
  const { name, label, attributes, workers } = which;
  const program = findProgram("aide");
  if (program === undefined) return context.leftOut("aide", "AIDE", "aide is not installed");
  const database = join(context.folder, `aide-${name}.db`);
  const settings = join(context.folder, `aide-${name}.conf`);
  const lines = [`database_out=file:${database}`, `database_in=file:${database}`, "gzip_dbout=no", "report_url=stdout"];
  writeFileSync(settings, [...lines, `num_workers=${workers}`, `${tree.root} ${attributes}`, ""].join("\n"));
  context.progress(`${label}, init`);
  const init = await measured(program, ["--init", "-c", settings], context.signal);
  context.progress(`${label}, check`);
  const full = await measured(program, ["--check", "-c", settings], context.signal);
  // A check that found no difference says how many entries it knows.
  const known = /Number of entries:\s+(\d+)/.exec(full.said)?.[1];
  mustBe(Number(known) === tree.entries, "AIDE looked at other files", known, tree.entries);
  const took = { init, full };
  for (const way of ["init", "full"] as const) {
    const words = way === "full" ? "full check" : "init";
    context.figure({
      id: `aide/${name}/${way}`,
      label: [sizeOf(tree), `${label}, ${words}`],
      unit: "s",
      estimate: exactly(took[way].wallMs / 1_000),
    });
    context.figure({
      id: `aide/${name}/${way}/rimon`,
      label: `rimon's ${words}, of ${label}`,
      unit: "times",
      estimate: exactly(ours[way] / took[way].wallMs),
    });
  }
  context.figure({
    id: `aide/${name}/resident`,
    label: `${label}, check, peak resident memory`,
    unit: "MB",
    estimate: exactly(full.residentMb),
    better: "neither",
  });
}

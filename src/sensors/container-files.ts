// The root filesystems of containers. An image is not written to: whatever differs from it lies in the upper directory of
// the container's overlay, and the kernel tells what is done there like everything else on that filesystem, with who did it.

import { lstatSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { FileRule } from "../baselines/files/rules.ts";
import { reasonOf } from "../errors.ts";
import type { FileTouched } from "../file-touched.ts";
import { mountsIn } from "../mountinfo.ts";
import type { Observation } from "../observation.ts";
import { containerOf } from "../protection.ts";
import { createWantedFiles, type WantedFiles } from "./wanted-files.ts";

const MAX_CONTAINERS = 1_024;
/** A runtime enters the container's cgroup before it enters its root. */
const MAX_TRIES = 10;
const SLASH = 0x2f;
const UPPER = "upperdir=";

export interface Container {
  readonly id: string;
  /** The upper directory, as this mount namespace has it. */
  readonly upper: string;
  /** Whether a path is the upper directory or below it. */
  holds(path: Buffer): boolean;
  /** Whether what happens to a path below the upper directory is to be told. */
  wants(path: Buffer, folder: boolean): boolean;
  /** What was done as the container names it; undefined: only the overlay's own housekeeping. */
  asSeen(touched: FileTouched, path: Buffer): FileTouched | undefined;
}

export interface ContainerFiles {
  notice(observation: Observation): void;
  /** Those that run, and why others among them cannot be watched; looks for the roots of those that are new. */
  refresh(
    rules: readonly FileRule[],
  ): Promise<{ readonly containers: readonly Container[]; readonly without: readonly string[] }>;
  /** None is watched any more. */
  forget(): void;
  /** The container in whose upper directory a path lies. */
  find(path: Buffer): Container | undefined;
}

interface Waiting {
  pid: number;
  tries: number;
  /** Why its root is not found, as of the last try. */
  reason?: string;
}

export function createContainerFiles(): ContainerFiles {
  let wanted = createWantedFiles([]);
  let rulesAre = "";
  const waiting = new Map<string, Waiting>();
  const known = new Map<string, Container>();
  /** There were more than are watched. */
  let crowded = false;

  async function look(id: string, one: Waiting): Promise<void> {
    try {
      const upper = upperOf(await readFile(`/proc/${one.pid}/mountinfo`, "utf8"));
      if (upper === undefined) return void (one.tries = MAX_TRIES);
      if (!upper.startsWith("/")) throw new Error(`its upper directory ${upper} is named from nowhere`);
      if (!(await stat(upper)).isDirectory()) throw new Error(`${upper} is no folder`);
      waiting.delete(id);
      known.set(
        id,
        containerAt(id, upper, (...about) => wanted(...about)),
      );
    } catch (thrown) {
      const { code, path } = thrown as NodeJS.ErrnoException;
      // The next process of it is as good.
      if (code === "ESRCH" || (code === "ENOENT" && path?.startsWith("/proc/"))) return void waiting.delete(id);
      one.reason = `container ${id.slice(0, 12)}: ${reasonOf(thrown)}`;
    }
    one.tries++;
  }

  return {
    notice(observation) {
      if (observation.kind !== "process.seen") return;
      const { cgroup, pid } = observation.process;
      const id = cgroup === undefined ? undefined : containerOf(cgroup);
      if (id === undefined || known.has(id)) return;
      const before = waiting.get(id);
      // Whoever executed last is the furthest in.
      if (before !== undefined) before.pid = pid;
      else if (known.size + waiting.size < MAX_CONTAINERS) waiting.set(id, { pid, tries: 0 });
      else crowded = true;
    },
    async refresh(rules) {
      const asked = JSON.stringify(rules);
      if (asked !== rulesAre) wanted = createWantedFiles(rules);
      rulesAre = asked;
      for (const [id, { upper }] of known) {
        const there = await stat(upper).catch(() => undefined);
        if (there === undefined) known.delete(id);
      }
      for (const [id, one] of waiting) {
        if (one.tries < MAX_TRIES) await look(id, one);
        else if ((await stat(`/proc/${one.pid}`).catch(() => undefined)) === undefined) waiting.delete(id);
      }
      const without = [...waiting.values()].flatMap(({ tries, reason }) =>
        tries >= MAX_TRIES && reason !== undefined ? [reason] : [],
      );
      if (crowded) without.push(`of more than ${MAX_CONTAINERS} containers not all are watched`);
      crowded &&= known.size + waiting.size >= MAX_CONTAINERS;
      return { containers: [...known.values()], without };
    },
    forget() {
      known.clear();
    },
    find(path) {
      for (const container of known.values()) if (container.holds(path)) return container;
      return undefined;
    },
  };
}

function containerAt(id: string, upper: string, wanted: WantedFiles): Container {
  const prefix = Buffer.from(upper);
  const { length } = prefix;
  const inside = (path: Buffer): Buffer => (path.length === length ? Buffer.from("/") : path.subarray(length));
  return {
    id,
    upper,
    holds: (path) =>
      path.length >= length &&
      (path.length === length || path[length] === SLASH) &&
      prefix.compare(path, 0, length) === 0,
    wants: (path, folder) => wanted(inside(path), folder, path),
    asSeen(touched, path) {
      const { from, crossed, did, pathHex, ...rest } = touched;
      const change = changeOf(touched, path);
      if (change === undefined) return undefined;
      const kept = change === touched.change;
      return {
        ...rest,
        change,
        path: touched.path.slice(upper.length) || "/",
        ...(pathHex === undefined ? {} : { pathHex: inside(path).toString("hex") }),
        ...(kept && did !== undefined ? { did } : {}),
        ...(kept && crossed === undefined && from?.startsWith(`${upper}/`) ? { from: from.slice(upper.length) } : {}),
        container: id,
      };
    },
  };
}

/** What somebody did, of what the overlay made of it; undefined: somebody did something else, which is told by itself. */
function changeOf({ change, crossed, folder }: FileTouched, path: Buffer): FileTouched["change"] | undefined {
  // A folder is copied up, and marked as that, when something in it is changed for the first time.
  if (folder && (change === "attributes" || crossed !== undefined)) return undefined;
  // What is replaced or removed is put away first.
  if (crossed === "out") return undefined;
  // What stands for a file of the image that was removed is a device with the number 0.
  if (change !== "removed" && isWhiteout(path)) return "removed";
  return crossed === "in" ? "written" : change;
}

function isWhiteout(path: Buffer): boolean {
  try {
    const found = lstatSync(path);
    return found.isCharacterDevice() && found.rdev === 0;
  } catch {
    return false;
  }
}

/**
 * Of the overlay that a mount table (proc_pid_mountinfo(5)) has at "/"; undefined: nobody can write to it. Throws an Error
 * that says what is there instead.
 */
export function upperOf(mountinfo: string): string | undefined {
  // What was mounted last is what is seen.
  const root = mountsIn(mountinfo).findLast(({ path }) => path === "/");
  if (root?.type !== "overlay")
    throw new Error(
      `its root is ${root?.type ?? "not in its mount table"}, not an overlay, and what differs from its image cannot be told`,
    );
  const upper = root.options.find((option) => option.startsWith(UPPER));
  return upper?.slice(UPPER.length);
}

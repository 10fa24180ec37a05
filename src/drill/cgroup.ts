// A cgroup of the drill's own, so that what is refused to its attackers is refused to nobody else.

import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mountsIn } from "../mountinfo.ts";

export interface Cgroup {
  readonly path: string;
  /** Moves a process there for the rest of its life. */
  join(pid: number): void;
  /** Once nobody is in it any more. */
  remove(): void;
}

/** Undefined where cgroup v2 is not mounted, or may not be written to. */
export function makeCgroup(name: string): Cgroup | undefined {
  const mounted = mountsIn(readFileSync("/proc/self/mountinfo", "utf8")).find(({ type }) => type === "cgroup2");
  if (mounted === undefined) return undefined;
  const path = join(mounted.path, name);
  try {
    mkdirSync(path);
  } catch {
    return undefined;
  }
  return {
    path,
    join: (pid) => writeFileSync(join(path, "cgroup.procs"), String(pid)),
    remove: () => rmdirSync(path),
  };
}

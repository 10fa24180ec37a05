// Package managers, by the file that runs: what one changes, and what it starts, is an upgrade and not an intrusion. A file
// of that name is easily made, so this explains and excuses nothing by itself.

import type { Process } from "./observation.ts";

/** What it keeps its packages' hashes in, if rimon reads that. */
export type PackageDatabase = "dpkg" | "rpm" | "unread";

const MANAGERS: ReadonlyMap<string, PackageDatabase> = new Map([
  ["/usr/bin/dpkg", "dpkg"],
  ["/usr/bin/apt", "dpkg"],
  ["/usr/bin/apt-get", "dpkg"],
  ["/usr/bin/aptitude", "dpkg"],
  ["/usr/bin/aptitude-curses", "dpkg"],
  ["/usr/bin/unattended-upgrade", "dpkg"],
  ["/usr/bin/rpm", "rpm"],
  ["/usr/bin/dnf5", "rpm"],
  ["/usr/bin/microdnf", "rpm"],
  ["/usr/bin/dnf", "rpm"],
  ["/usr/bin/dnf-3", "rpm"],
  ["/usr/bin/yum", "rpm"],
  ["/usr/bin/zypper", "rpm"],
  ["/sbin/apk", "unread"],
  ["/usr/bin/pacman", "unread"],
]);
/** Those that are scripts are named by the first of their arguments that is a file. */
const INTERPRETER = /^\/usr\/bin\/python3?(?:\.\d+)?$/;

/** The outermost package manager among a process and its parents. */
export function managerOf(lineage: readonly Process[]): { process: Process; database: PackageDatabase } | undefined {
  for (const process of lineage.toReversed()) {
    const database = MANAGERS.get(programOf(process));
    if (database !== undefined) return { process, database };
  }
  return undefined;
}

/** Whether it is a package manager itself, and not what one has started. */
export function isManager(process: Process): boolean {
  return MANAGERS.has(programOf(process));
}

function programOf({ exe = "", cmdline = [] }: Process): string {
  const program = exe.replace(/ \(deleted\)$/, "");
  if (!INTERPRETER.test(program)) return program;
  const at = cmdline.slice(1).findIndex((word) => !/^-[sPEIB]+$/.test(word));
  return cmdline[at + 1] ?? program;
}

// File systems that a program answers for (FUSE). Any user may mount one, and whose server falls silent holds up whoever
// reads from it, for ever and beyond SIGKILL: rimon reads nothing there.

import { readFile } from "node:fs/promises";

/** Whether a program answers for the superblock of this device ("0:39"), as the mount table of a process has it; undefined: it is in none. */
export async function isServed(device: string, pid: number): Promise<boolean | undefined> {
  for (const whose of [pid, "self"]) {
    const table = await readFile(`/proc/${whose}/mountinfo`, "utf8").catch(() => "");
    const type = typeIn(table, device);
    if (type !== undefined) return /^fuse(?:\.|$)/.test(type);
  }
  return undefined;
}

/** Of the executable of a process, by its mappings; undefined: that cannot be told. */
export async function isExecutableServed(pid: number, exe: string): Promise<boolean | undefined> {
  const maps = await readFile(`/proc/${pid}/maps`, "latin1").catch(() => "");
  const line = maps.split("\n").find((each) => each.endsWith(` ${Buffer.from(exe).toString("latin1")}`));
  const [major, minor] = line?.split(/ +/)[3]?.split(":") ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return isServed(`${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`, pid);
}

/** proc_pid_mountinfo(5) */
function typeIn(table: string, device: string): string | undefined {
  for (const line of table.split("\n")) {
    const [before, after] = line.split(" - ");
    if (before?.split(" ")[2] === device) return after?.split(" ")[0];
  }
  return undefined;
}

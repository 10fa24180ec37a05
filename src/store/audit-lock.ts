// One writer for one audit log. The lock is a symbolic link whose target names its holder: it comes into being whole
// or not at all, and takes no block of a full disk.

import { readFileSync } from "node:fs";
import { link, readlink, rename, symlink, unlink } from "node:fs/promises";
import { RimonError, reasonOf } from "../errors.ts";
import { errnoOf, ignoreMissing } from "./durable.ts";

export interface Lock {
  release(): Promise<void>;
}

/** Takes `<path>.lock`, also from a holder that is no more; throws RIMON_AUDIT naming one that is. */
export async function takeLock(path: string): Promise<Lock> {
  const file = `${path}.lock`;
  const mine = `${process.pid}:${startTimeOf(process.pid) ?? 0}:${bootId()}`;
  for (let tries = 0; tries < 10; tries += 1) {
    try {
      await symlink(mine, file);
      return { release: () => release(file, mine) };
    } catch (thrown) {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    }
    const holder = await holderOf(file);
    if (holder === undefined) continue;
    const pid = livingPidOf(holder);
    if (pid !== undefined) throw heldBy(path, pid);
    await setAside(file, holder);
  }
  throw new RimonError(
    "RIMON_AUDIT",
    `the lock ${file} changes hands all the time; see that one rimon runs on this log`,
  );
}

/** The pid of the process that writes this log; undefined if none does. */
export async function writerOf(path: string): Promise<number | undefined> {
  const holder = await holderOf(`${path}.lock`);
  return holder === undefined ? undefined : livingPidOf(holder);
}

/** Takes a stale lock away. Another starter may have done so a moment ago and hold it now: then it is given back. */
async function setAside(file: string, stale: string): Promise<void> {
  const aside = `${file}.stale-${process.pid}`;
  try {
    await rename(file, aside);
  } catch (thrown) {
    ignoreMissing(thrown);
    return;
  }
  if ((await holderOf(aside)) !== stale) {
    await link(aside, file).catch((thrown: unknown) => {
      if (errnoOf(thrown) !== "EEXIST") throw thrown;
    });
  }
  await unlink(aside);
}

async function release(file: string, mine: string): Promise<void> {
  if ((await holderOf(file)) === mine) await unlink(file).catch(ignoreMissing);
}

/** What the lock says; undefined if it is gone, "" if it is not one of ours. */
async function holderOf(file: string): Promise<string | undefined> {
  try {
    return await readlink(file);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    if (errnoOf(thrown) === "EINVAL") return "";
    throw new RimonError("RIMON_AUDIT", `the lock ${file} cannot be read: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

function livingPidOf(holder: string): number | undefined {
  const [pid, start, boot] = holder.split(":");
  if (pid === undefined || start === undefined || boot !== bootId()) return undefined;
  return startTimeOf(Number(pid)) === Number(start) ? Number(pid) : undefined;
}

/** Field 22 of /proc/PID/stat; undefined if there is no such process. */
function startTimeOf(pid: number): number | undefined {
  if (!Number.isSafeInteger(pid) || pid < 1) return undefined;
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // comm may hold ")" itself, so fields are counted from the last one.
  const field = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return field === undefined ? undefined : Number(field);
}

/** A pid and its start time come again after a reboot; this does not. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return "unknown";
  }
}

function heldBy(path: string, pid: number): RimonError {
  const who = pid === process.pid ? "this very process" : `the process ${pid}`;
  return new RimonError(
    "RIMON_AUDIT",
    `the audit log ${path} is being written by ${who}, and a log has one writer; stop it, or give this one another audit.path`,
  );
}

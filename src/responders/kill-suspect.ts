// Ends the suspect. The last gate before a signal: it checks everything itself, whatever policy decided before.

import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { reasonOf } from "../errors.ts";
import type { Outcome, Verdict } from "../finding.ts";
import type { Addon } from "../native.ts";
import { printable } from "./printable.ts";
import { outcomeOf, type Responder } from "./responder.ts";

const ACTION = "kill-suspect";

export interface KillOptions {
  /** Undefined: nothing here can signal by pidfd, so nothing is signalled. */
  readonly addon: Pick<Addon, "signalProcess"> | undefined;
  readonly enabled: boolean;
  readonly isProtected: (pid: number, startTime: number) => boolean;
  /** Whether the verdict's target is one whose attackers may be killed. */
  readonly inScope: (verdict: Verdict) => boolean;
  readonly ownPid: number;
  /** Pids of rimon's parents up to pid 1. */
  readonly ancestors: () => ReadonlySet<number>;
  readonly isKernelThread: (pid: number) => boolean;
  readonly now?: () => number;
}

/** Sends SIGKILL to the suspect, and to nothing that could ever be mistaken for it. */
export function createKillResponder(options: KillOptions): Responder {
  const { now = Date.now } = options;

  async function respond(verdict: Verdict): Promise<Outcome> {
    const startedAt = now();
    const outcome = (result: Outcome["result"], message: string, details?: Outcome["details"]) =>
      outcomeOf(verdict, ACTION, startedAt, now(), result, message, details);
    try {
      const refusal = whyNot(options, verdict);
      if (refusal !== undefined) return outcome("refused", refusal);
      const { addon } = options;
      const { suspect } = verdict.finding;
      if (addon === undefined || suspect === undefined) return outcome("refused", "there is nothing to signal with");
      const who = `${printable(suspect.comm)} (${suspect.pid})`;
      const details = { pid: suspect.pid, startTime: suspect.startTime };
      switch (addon.signalProcess(suspect.pid, suspect.startTime, constants.signals.SIGKILL)) {
        case "sent":
          return outcome("done", `sent SIGKILL to ${who}`, details);
        case "gone":
          return outcome("skipped", `${who} had already ended`, details);
        case "reused":
          return outcome("skipped", `${who} had already ended; its pid belongs to another process now`, details);
      }
    } catch (thrown) {
      return outcome("failed", `the suspect was not killed: ${reasonOf(thrown)}`);
    }
  }

  return { action: ACTION, respond };
}

function whyNot(options: KillOptions, verdict: Verdict): string | undefined {
  if (!options.enabled) return `set actions.${ACTION}.enabled to true to allow it`;
  if (options.addon === undefined) return "the addon is missing, and without a pidfd no process is signalled";
  const { suspect, target } = verdict.finding;
  if (suspect === undefined) return "the suspect is unknown";
  const { pid, startTime } = suspect;
  if (!Number.isSafeInteger(pid) || pid < 1) return `expected the pid of a process, got ${pid}`;
  if (!Number.isSafeInteger(startTime) || startTime < 1) {
    return `the start time of pid ${pid} is unknown, and a pid alone may belong to another process by now`;
  }
  if (pid === 1) return "pid 1 is never killed";
  if (pid === options.ownPid) return "rimon does not kill itself";
  if (options.ancestors().has(pid)) return `pid ${pid} is a parent of rimon`;
  if (options.isKernelThread(pid)) return `pid ${pid} is a kernel thread`;
  if (pid === target?.pid || options.isProtected(pid, startTime)) return `pid ${pid} is a protected process`;
  if (!options.inScope(verdict)) {
    return `the target is not in actions.${ACTION}.scope, so those who act on it are left alone`;
  }
  return;
}

/** The parents of a process, nearest first, as far as /proc shows them. */
export function ancestorsOf(pid: number): Set<number> {
  const ancestors = new Set<number>();
  for (let parent = statField(pid, 4); parent !== undefined && parent > 0; parent = statField(parent, 4)) {
    if (ancestors.has(parent)) break;
    ancestors.add(parent);
  }
  return ancestors;
}

/** True for a kernel thread; throws if the process is there but cannot be read. */
export function isKernelThread(pid: number): boolean {
  const flags = statField(pid, 9);
  // PF_KTHREAD of linux/sched.h.
  return flags !== undefined && (flags & 0x00200000) !== 0;
}

/** A numeric field of /proc/PID/stat, counted as in proc_pid_stat(5); undefined if the process is gone. */
function statField(pid: number, field: number): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return;
    throw thrown;
  }
  // comm may hold ")" itself.
  const value = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[field - 3]);
  return Number.isSafeInteger(value) ? value : undefined;
}

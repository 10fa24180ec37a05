// One way to get at a process's keys: how it is staged, how it is done, and who is expected to see it.

import type { Finding } from "../finding.ts";
import type { Known } from "./ground.ts";
import type { Attacker, Decoy, Range } from "./range.ts";

/** Of a finding as much as says what it is about. */
export interface Sighting extends Pick<
  Finding,
  "rule" | "severity" | "technique" | "operation" | "sensor" | "subject"
> {
  readonly suspect?: {
    readonly pid: number;
    readonly comm: string;
    /** Parents, nearest first. */
    readonly ancestry?: readonly { readonly pid: number }[];
  };
  readonly target?: { readonly pid: number };
}

export interface Technique {
  readonly name: string;
  /** What is done, in a few words. */
  readonly summary: string;
  /** The rules any of which says that it was seen. */
  readonly rules: readonly string[];
  /** The sensors any of which should see it. */
  readonly expected: readonly string[];
  /** What would see it. */
  readonly needs?: "eBPF";
  /** The kernel refuses it to everybody where Yama's ptrace_scope is 3. */
  readonly yama?: true;
  /** Whoever sees it cannot tell by whom it was done; "sometimes": that depends on more than which sensors are live. */
  readonly anonymous?: true | "sometimes";
  /** The sensor without which it cannot be told by whom it was done. */
  readonly namedBy?: string;
  /** It has begun when the monitor starts. */
  readonly early?: true;
  /** The decoy has to have been watched for a while. */
  readonly settled?: true;
  /** What the monitor has to know to be good: without it its sensors are off. A decoy of "snapshots" must have been taken one of. */
  readonly knows?: Known;
  /** In enforce mode whoever does it is stopped before a byte comes out. */
  readonly stopped?: true;
  /** The sensor that has to be live for that; by default what stops is left open. */
  readonly stoppedBy?: string;
  /** Starts the decoy and whoever attacks it, up to the moment before the act. */
  stage(range: Range): Promise<Staged>;
}

export interface Staged {
  /** The decoy's pid, if the decoy must be protected before the act. */
  readonly target?: number;
  act(): Promise<Deed>;
}

export interface Deed {
  /** CLOCK_MONOTONIC in ns, right before the act; of what began before the monitor, when that was started. */
  readonly at: bigint;
  /** Of what began before the monitor: right before that was made use of under its eyes. */
  readonly usedAt?: bigint;
  /** The attacker; undefined where there is none to name. */
  readonly attacker?: number;
  readonly leakedBytes: number;
  /** Whether a finding of one of the rules is about this very act. */
  concerns(finding: Sighting): boolean;
}

/** What was done before the monitor started, to a decoy that it finds so. */
export async function attackEarly(
  range: Range,
  prepare: (decoy: Decoy) => Promise<Pick<Deed, "attacker"> & Partial<Pick<Deed, "concerns">>>,
): Promise<Staged> {
  const decoy = await range.decoy();
  const who = await prepare(decoy);
  return {
    target: decoy.pid,
    async act() {
      return { at: range.monitorStartedAt(), leakedBytes: 0, concerns: on(decoy.pid), ...who };
    },
  };
}

/** Whether the finding's target is this process. */
export function on(target: number): Deed["concerns"] {
  return (finding) => finding.target?.pid === target;
}

/** Whether the finding's suspect is this process or one it started. */
export function by(attacker: number): Deed["concerns"] {
  return ({ suspect }) =>
    suspect !== undefined && (suspect.pid === attacker || (suspect.ancestry ?? []).some(({ pid }) => pid === attacker));
}

/** Whether the finding's subject is this file, or what was done to it. */
export function about(path: string): Deed["concerns"] {
  return ({ subject }) => subject === path || subject?.startsWith(`${path} `) === true;
}

/** What comes of an act on a decoy. */
export interface Blow {
  readonly at: bigint;
  readonly leakedBytes?: number;
}

/** One decoy, and one attacker that does this to it. */
export async function attackDecoy(
  range: Range,
  strike: (decoy: Decoy, attacker: Attacker) => Promise<Blow>,
  prepare: (decoy: Decoy, attacker: Attacker) => Promise<unknown> = async () => {},
): Promise<Staged> {
  const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
  await prepare(decoy, attacker);
  return {
    target: decoy.pid,
    async act() {
      const { at, leakedBytes = 0 } = await strike(decoy, attacker);
      return { at, attacker: attacker.pid, leakedBytes, concerns: on(decoy.pid) };
    },
  };
}

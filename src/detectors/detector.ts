// One rule a file, pure: an observation that the state has already absorbed goes in, what it means comes out.
// A detector keeps nothing between two calls.

import type { Detection, Severity } from "../finding.ts";
import type { Observation, SignalSent } from "../observation.ts";
import type { State } from "../state.ts";

/** What `rimon explain` says of a rule. */
export interface Guide {
  readonly means: string;
  readonly fires: string;
  readonly attacker: string;
  readonly todo: string;
  /** When it is harmless, and how to say so in the configuration. */
  readonly harmless: string;
  /** MITRE ATT&CK techniques (enterprise matrix). */
  readonly attack: readonly { readonly id: string; readonly name: string }[];
}

export interface RuleOptions {
  /** `rules.<rule>.allow` of the configuration. */
  readonly allow: readonly string[];
}

export interface Detector {
  readonly rule: string;
  readonly severity: Severity;
  readonly summary: string;
  readonly guide: Guide;
  detect(observation: Observation, state: State, options: RuleOptions): Detection | undefined;
}

/** "gdb (9312, root)", or what of it is known. */
export function nameOf(state: State, pid: number | undefined, startTime?: number): string {
  if (pid === undefined) return "an unknown process";
  const process = state.find(pid, startTime)?.process;
  if (process === undefined) return `process ${pid} (gone before it could be read)`;
  return `${process.comm} (${pid}${process.uid === 0 ? ", root" : process.uid === undefined ? "" : `, uid ${process.uid}`})`;
}

/** A subject of a detection, with the start time that belongs to the pid as far as it is known. */
export function subjectOf(state: State, pid: number, startTime?: number): { pid: number; startTime?: number } {
  const known = startTime ?? state.find(pid)?.process.startTime;
  return known === undefined ? { pid } : { pid, startTime: known };
}

/** Who sent a signal, as nameOf() says it; who set a descriptor to send one is not known. */
export function senderOf(state: State, { byPid }: Pick<SignalSent, "byPid">): string {
  return byPid === undefined ? "a descriptor that was set to send signals (F_SETSIG)" : nameOf(state, byPid);
}

/** The suspect of a detection, where there is one. */
export function suspectOf(state: State, { byPid }: Pick<SignalSent, "byPid">): Pick<Detection, "suspect"> {
  return byPid === undefined ? {} : { suspect: subjectOf(state, byPid) };
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

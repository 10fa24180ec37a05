// How a key action reaches the keeper of the keys, and how its answer is read. No driver decides anything, retries or
// sees a key.

import type { ActionName } from "../../configuration.ts";
import { RimonError } from "../../errors.ts";
import type { Severity, Verdict } from "../../finding.ts";
import { printable } from "../printable.ts";

export type KeyAction = Extract<ActionName, "rotate-master-key" | "evict-tenant-keks">;

/** What the keeper is asked, as JSON. */
export interface KeyRequest {
  readonly action: KeyAction;
  /** The finding's id: a repeated request for it need not be carried out again. */
  readonly finding: string;
  readonly rule: string;
  readonly severity: Severity;
  readonly node: string;
  readonly time: string;
  readonly tenants: readonly string[];
}

/** What the keeper may say of what it did. */
export interface KeyAnswer {
  readonly epoch?: number;
  readonly previousEpoch?: number;
  readonly evicted?: number;
}

export interface KeyDriver {
  /** Resolves once the keeper says that it is done; throws a sentence otherwise. */
  request(request: KeyRequest, signal: AbortSignal): Promise<KeyAnswer>;
}

export function requestOf(action: KeyAction, verdict: Verdict, tenants: readonly string[], now: number): KeyRequest {
  const { finding } = verdict;
  return {
    action,
    finding: finding.id,
    rule: finding.rule,
    severity: finding.severity,
    node: finding.node,
    time: new Date(now).toISOString(),
    tenants: [...tenants],
  };
}

/** Reads an answer; an empty one says only that it was done. */
export function readAnswer(text: string): KeyAnswer {
  if (text.trim() === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unexpected("a JSON object", text);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw unexpected("a JSON object", text);
  const answer = value as Readonly<Record<string, unknown>>;
  if (answer["ok"] === false) {
    const error = typeof answer["error"] === "string" ? printable(answer["error"]) : "it gave no reason";
    throw new RimonError("RIMON_ACTION", `the keeper of the keys refused or failed: ${error}`);
  }
  const numbers: { epoch?: number; previousEpoch?: number; evicted?: number } = {};
  for (const name of ["epoch", "previousEpoch", "evicted"] as const) {
    const number = answer[name];
    if (number === undefined) continue;
    if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0) {
      throw unexpected(`a whole number as "${name}"`, text);
    }
    numbers[name] = number;
  }
  const { epoch, previousEpoch } = numbers;
  if (epoch !== undefined && previousEpoch !== undefined && epoch <= previousEpoch) {
    throw unexpected(`an epoch after ${previousEpoch}`, text);
  }
  return numbers;
}

function unexpected(wanted: string, text: string): RimonError {
  return new RimonError("RIMON_ACTION", `expected ${wanted} as the answer, got: ${printable(text, 200)}`);
}

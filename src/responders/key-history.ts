// What the key actions did last. It outlives the responders, which a reload replaces: a cooldown does not begin anew.

import type { KeyAnswer } from "./drivers/driver.ts";

export interface KeyHistory {
  rotated: { readonly finding: string; readonly at: number; readonly answer: KeyAnswer } | undefined;
  /** By tenant; what is no longer cooling is dropped. */
  readonly evicted: Map<string, { readonly finding: string; readonly at: number }>;
}

export function createKeyHistory(): KeyHistory {
  return { rotated: undefined, evicted: new Map() };
}

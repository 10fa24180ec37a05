// Why a technique came to nothing.

import { existsSync } from "node:fs";

/** The technique cannot be run here, and nothing was done: a program is missing, or the kernel has no such thing. */
export class NotRun extends Error {}

/** The kernel did not let the attacker do it. */
export class Refused extends Error {
  /** Whom it did not let. */
  readonly attacker?: number;

  constructor(message: string, attacker?: number) {
    super(message);
    if (attacker !== undefined) this.attacker = attacker;
  }
}

/** NotRun for this reason unless the file is there. */
export function needs(path: string, reason: string): void {
  if (!existsSync(path)) throw new NotRun(reason);
}

export function needsUprobes(): void {
  needs("/sys/bus/event_source/devices/uprobe", "this kernel has no uprobes (CONFIG_UPROBE_EVENTS)");
}

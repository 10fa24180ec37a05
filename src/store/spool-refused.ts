// The alerts of one outbox that its sink refuses for good: when that is settled, and the files kept of them.

import { rename, unlink } from "node:fs/promises";
import { reasonOf } from "../errors.ts";
import { ignoreMissing } from "./durable.ts";

const SUFFIX = ".refused";

export interface RefusedOptions {
  /** How often in a row, and over how long, the same alert must have been refused. */
  readonly times: number;
  readonly spanMs: number;
  /** Files kept; of more, the oldest are removed. */
  readonly maxKept: number;
}

export class RefusedAlerts {
  readonly #options: RefusedOptions;
  /** The alert that was refused last; `since` is of performance.now(), which nobody sets. */
  #latest: { readonly file: string; readonly since: number; times: number } | undefined;
  /** Oldest first. */
  readonly #kept: string[] = [];

  constructor(options: RefusedOptions) {
    this.#options = options;
  }

  /** How often the latest was refused. */
  get times(): number {
    return this.#latest?.times ?? 0;
  }

  /** Takes in what an earlier run kept: the files' names as they were before. */
  found(files: readonly string[]): void {
    this.#kept.push(...files.map((file) => `${file}${SUFFIX}`));
  }

  /** Counts a refusal; true if the alert in this file was now refused for good so often and for so long. */
  isSettled(file: string, permanent: boolean): boolean {
    if (!permanent) {
      this.#latest = undefined;
      return false;
    }
    const now = performance.now();
    if (this.#latest?.file !== file) this.#latest = { file, since: now, times: 0 };
    this.#latest.times += 1;
    return this.#latest.times >= this.#options.times && now - this.#latest.since >= this.#options.spanMs;
  }

  /** Takes the file out of the outbox; its new name, or undefined if it is gone. */
  async keep(file: string): Promise<string | undefined> {
    const kept = `${file}${SUFFIX}`;
    try {
      await rename(file, kept);
    } catch (thrown) {
      ignoreMissing(thrown);
      return undefined;
    }
    this.#kept.push(kept);
    return kept;
  }

  /** Removes the oldest beyond the bound; a sentence about each. */
  async removeOldest(): Promise<string[]> {
    const surplus = this.#kept.splice(0, Math.max(0, this.#kept.length - this.#options.maxKept));
    return await Promise.all(
      surplus.map((file) =>
        unlink(file)
          .catch(ignoreMissing)
          .then(
            () => `${file} is removed: at most ${this.#options.maxKept} refused alerts are kept`,
            (thrown: unknown) => `${file} is one refused alert too many and cannot be removed: ${reasonOf(thrown)}`,
          ),
      ),
    );
  }
}

/** Whether a sink said that it would refuse the same payload again. */
export function isPermanent(thrown: unknown): boolean {
  return thrown instanceof Error && "permanent" in thrown && thrown.permanent === true;
}

// Looks at a process that something is told of: now, and a few times soon after. The kernel tells of a write to memory,
// or of a mapping, when it is asked for it, and a look may be quicker than what it is to see.

import { processKey, type ProcessId } from "../observation.ts";

export interface Looks {
  /** At this process, however often that is asked for meanwhile. */
  soon(id: ProcessId): void;
  /** Does one thing after the other, so that what was seen last is what is known; throws what it throws. */
  next<Result>(task: () => Promise<Result>): Promise<Result>;
  /** No look begins after it; that which is under way has ended. */
  stop(): Promise<void>;
}

interface Waiting {
  /** Which look is the next. */
  round: number;
  /** It was asked for since the last look began. */
  again: boolean;
  timer: NodeJS.Timeout | undefined;
}

/**
 * `afterMs` is how long after a look the next one follows; where no end is made of asking it is the first of them. What
 * `look` throws is dropped: what cannot be read is told by the next pass.
 */
export function createLooks(
  look: (id: ProcessId) => Promise<void>,
  afterMs: readonly [number, ...(readonly number[])],
): Looks {
  const waiting = new Map<string, Waiting>();
  let last: Promise<unknown> = Promise.resolve();
  let stopped = false;

  function next<Result>(task: () => Promise<Result>): Promise<Result> {
    const done = last.then(task);
    last = done.catch(() => undefined);
    return done;
  }

  function begin(id: ProcessId, key: string, each: Waiting): void {
    each.timer = undefined;
    void next(async () => {
      if (stopped) return;
      // What comes from here on this look may miss.
      each.again = false;
      await look(id).catch(() => undefined);
      const round = each.again ? 0 : each.round;
      if (stopped || round === afterMs.length) waiting.delete(key);
      else schedule(id, key, each, round);
    });
  }

  function schedule(id: ProcessId, key: string, each: Waiting, round: number): void {
    clearTimeout(each.timer);
    each.round = round + 1;
    each.timer = setTimeout(() => begin(id, key, each), afterMs[round]);
  }

  return {
    next,
    soon(id) {
      const key = processKey(id);
      const current = waiting.get(key);
      if (current === undefined) {
        const first: Waiting = { round: 0, again: false, timer: undefined };
        waiting.set(key, first);
        begin(id, key, first);
      } else {
        current.again = true;
        if (current.timer !== undefined && current.round > 1) schedule(id, key, current, 0);
      }
    },
    async stop() {
      stopped = true;
      for (const { timer } of waiting.values()) clearTimeout(timer);
      await last;
    },
  };
}

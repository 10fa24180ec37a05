// What moved between two results.

import type { Figure, Result } from "./result.ts";

export interface Movement {
  readonly id: string;
  readonly label: string;
  readonly before: Figure;
  readonly now: Figure;
  /** now / before; undefined where that says nothing. */
  readonly factor: number | undefined;
  /** better and worse only where the two intervals do not meet. */
  readonly verdict: "better" | "worse" | "moved" | "same";
}

export interface Comparison {
  readonly movements: readonly Movement[];
  readonly gone: readonly string[];
  readonly added: readonly string[];
  /** What makes the two hard to compare. */
  readonly differences: readonly string[];
}

export function compare(before: Result, now: Result): Comparison {
  const old = new Map(before.figures.map((figure) => [figure.id, figure]));
  const ids = new Set(now.figures.map(({ id }) => id));
  const movements = now.figures.flatMap((figure) => {
    const earlier = old.get(figure.id);
    return earlier === undefined ? [] : [movement(earlier, figure)];
  });
  const differences: string[] = [];
  if (before.quick !== now.quick) differences.push("one of the two runs was quick");
  for (const part of ["cpu", "cores", "kernel", "node", "openssl"] as const)
    if (before.machine[part] !== now.machine[part])
      differences.push(`${part}: ${before.machine[part]} before, ${now.machine[part]} now`);
  return {
    movements,
    gone: before.figures
      .map(({ id }) => id)
      .filter((id) => !ids.has(id) && now.benches.includes(id.split("/")[0] ?? "")),
    added: now.figures.map(({ id }) => id).filter((id) => !old.has(id)),
    differences,
  };
}

function movement(before: Figure, now: Figure): Movement {
  const { id, label, better } = now;
  const meet = before.low <= now.high && now.low <= before.high;
  const rose = now.value > before.value;
  const verdict = meet ? "same" : better === "neither" ? "moved" : rose === (better === "higher") ? "better" : "worse";
  const factor = before.value > 0 && now.value > 0 ? now.value / before.value : undefined;
  return { id, label, before, now, factor, verdict };
}

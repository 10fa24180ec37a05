// Which of some byte strings stand in a file that is read a piece at a time.

import type { Addon } from "../native.ts";

export interface MarkSearch {
  /** The places in `marks` of those that are in these bytes, rising. */
  in(bytes: Buffer): number[];
  /** A piece that begins this much before the end of the one before it misses none. */
  readonly overlap: number;
}

/** Of at least one mark, each at least two bytes long. */
export function createMarkSearch({ findMarks }: Pick<Addon, "findMarks">, marks: readonly Buffer[]): MarkSearch {
  const lengths = marks.map(({ length }) => length);
  const shortest = Math.min(...lengths);
  if (marks.length === 0) throw new RangeError("expected at least one mark, got none");
  if (shortest < 2) throw new RangeError(`expected marks of at least two bytes, got one of ${shortest}`);
  return { overlap: Math.max(...lengths) - 1, in: (bytes) => findMarks(bytes, marks) };
}

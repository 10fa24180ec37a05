// Which of some byte strings stand in a piece of a file, in one look at the piece: by the last two bytes of where the
// shortest of them could stand, most of it is skipped (Wu and Manber, "A fast algorithm for multi-pattern searching", 1994).

export interface MarkSearch {
  /** The places in `marks` of those that are in these bytes, rising. */
  in(bytes: Uint8Array): number[];
  /** A piece that begins this much before the end of the one before it misses none. */
  readonly overlap: number;
}

/** Of at least one mark, each at least two bytes long. */
export function createMarkSearch(marks: readonly Uint8Array[]): MarkSearch {
  const lengths = marks.map(({ length }) => length);
  const shortest = Math.min(...lengths);
  if (marks.length === 0) throw new RangeError("expected at least one mark, got none");
  if (shortest < 2) throw new RangeError(`expected marks of at least two bytes, got one of ${shortest}`);
  const last = shortest - 1;
  /** How far from a pair of bytes on none of the marks can end its first `shortest` bytes. */
  const skip = new Uint8Array(1 << 16).fill(Math.min(last, 0xff));
  const ending = new Map<number, number[]>();
  for (const [index, mark] of marks.entries()) {
    for (let at = 1; at <= last; at++) {
      const pair = pairAt(mark, at);
      skip[pair] = Math.min(skip[pair] ?? 0, last - at);
    }
    const pair = pairAt(mark, last);
    ending.set(pair, [...(ending.get(pair) ?? []), index]);
  }

  return {
    overlap: Math.max(...lengths) - 1,
    in(bytes) {
      const found = new Set<number>();
      for (let at = last; at < bytes.length;) {
        const pair = pairAt(bytes, at);
        const far = skip[pair] ?? 0;
        if (far > 0) {
          at += far;
          continue;
        }
        for (const index of ending.get(pair) ?? [])
          if (stands(marks[index] ?? bytes, bytes, at - last)) found.add(index);
        at++;
      }
      return [...found].sort((a, b) => a - b);
    },
  };
}

function pairAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at - 1] ?? 0) << 8) | (bytes[at] ?? 0);
}

function stands(mark: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < mark.length; index++) if (bytes[at + index] !== mark[index]) return false;
  return true;
}

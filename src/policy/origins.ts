// Where each value comes from: a place in the file, or a default.

import type { Effective } from "./complete.ts";
import { formatPath } from "./problem.ts";
import type { Path } from "./problem.ts";
import type { Source } from "./yaml.ts";

export type Origin = { readonly line: number; readonly column: number } | "default";

/** Where each value of the completed file comes from, by path. */
export function originsOf(effective: Effective, { find }: Source): Map<string, Origin> {
  return new Map(
    leavesOf(effective).map(({ path }) => {
      // A socket may be written as its path alone.
      const written =
        find(path, "value") ??
        (path.at(-2) === "socket" && path.at(-1) === "path" ? find(path.slice(0, -1), "value") : undefined);
      return [formatPath(path), written ?? "default"];
    }),
  );
}

/** The scalars of a tree, and what is empty in it. */
export function leavesOf(tree: unknown, path: Path = []): { path: Path; value: unknown }[] {
  if (typeof tree !== "object" || tree === null) return [{ path, value: tree }];
  const entries: [string | number, unknown][] = Array.isArray(tree) ? [...tree.entries()] : Object.entries(tree);
  if (entries.length === 0) return [{ path, value: tree }];
  return entries.flatMap(([step, value]) => leavesOf(value, [...path, step]));
}

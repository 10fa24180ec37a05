// From what zod says to sentences.

import type * as z from "zod";

import * as notation from "./notation.ts";
import { quote } from "./problem.ts";
import type { Path, Problem } from "./problem.ts";

/** What the schema says about a value, as sentences about what came instead. */
export function problemsOf(issue: z.core.$ZodIssue, tree: unknown): Problem[] {
  const path = issue.path.filter((step) => typeof step !== "symbol");
  if (issue.code === "unrecognized_keys") {
    const known = issue.message.split(" ").filter((name) => name !== "");
    return issue.keys.map((key) => ({ path: [...path, key], at: "key", message: unknownKey(key, known) }));
  }
  const value = valueAt(tree, path);
  if (issue.code === "invalid_union") {
    // The branch that takes what was written for the right type knows best what is wrong with it.
    const [best, next] = issue.errors
      .filter((branch) => !branch.some((inner) => inner.code === "invalid_type" && inner.path.length === 0))
      .toSorted((a, b) => a.length - b.length);
    if (best !== undefined && best.length !== next?.length) {
      return best.flatMap((inner) => problemsOf({ ...inner, path: [...issue.path, ...inner.path] }, tree));
    }
  }
  if (value === undefined) return [{ path, at: "value", message: `is missing: it ${issue.message}` }];
  return [{ path, at: "value", message: `${issue.message}, got ${describe(value, path)}` }];
}

const SECRET_KEY = /token|passw|passphrase|secret|credential|api[-_]?key|authorization/i;
const HTTP_SECRET_KEY = /^(?:headers?|auth|user(?:name)?|pass|x-.*)$/i;

function unknownKey(key: string, known: readonly string[]): string {
  if (SECRET_KEY.test(key) || (known.includes("url") && HTTP_SECRET_KEY.test(key))) {
    return "is not allowed: no secret is written into the configuration; name a file with headersFile, or use bearer: { file } or { env }";
  }
  const nearest = notation.nearestName(key, known);
  if (nearest !== undefined) return `is not known; did you mean ${nearest}?`;
  return known.length === 0 ? "is not known: nothing can be set here" : `is not known; known here: ${known.join(", ")}`;
}

/** What came, without repeating what may be a secret that stands in the wrong place. */
function describe(value: unknown, path: Path): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "a mapping";
  if (typeof value !== "string") return String(value);
  return path.some((step) => ["url", "bearer", "headersFile", "body"].includes(String(step)))
    ? "a text (not shown)"
    : quote(value);
}

function valueAt(tree: unknown, path: Path): unknown {
  let value = tree;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

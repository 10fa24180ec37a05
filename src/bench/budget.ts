// The budget: bounds on figures, as bench/budget.yaml has them, and what a result says of each.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import * as z from "zod";
import { RimonError, reasonOf } from "../errors.ts";
import { ROOT } from "../package.ts";
import type { Figure, Result } from "./result.ts";

const bound = z.strictObject({ atMost: z.number().optional(), atLeast: z.number().optional() });
const schema = z.strictObject({
  version: z.literal(1),
  bounds: z.array(
    z.strictObject({
      /** The figure's id; a * stands for one part of it. */
      figure: z.string(),
      /** What is promised, in words. */
      what: z.string(),
      /** Another figure it has to be below as well. */
      below: z.string().optional(),
      atMost: z.number().optional(),
      atLeast: z.number().optional(),
      /** Wider, for few runs on a machine that does other things too; without one a quick run does not judge it. */
      quick: bound.optional(),
    }),
  ),
});

export type Budget = z.infer<typeof schema>;
export type Bound = Budget["bounds"][number];

export interface Judgement {
  /** The figure's, or where there is none the bound's own. */
  readonly id: string;
  readonly what: string;
  /** "at most 0.5" */
  readonly bound: string;
  readonly figure?: Figure;
  /** unclear: the bound lies in the confidence interval, on the wrong side of the value. */
  readonly verdict: "holds" | "broken" | "unclear" | "not measured";
  readonly why?: string;
}

/** In a checkout and in an installed package: two folders up. */
export const BUDGET_FILE = join(ROOT, "bench", "budget.yaml");

export function readBudget(file = BUDGET_FILE): Budget {
  try {
    return parseBudget(readFileSync(file, "utf8"));
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", `the budget ${file} cannot be read: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

export function parseBudget(text: string): Budget {
  return schema.parse(parse(text));
}

/** What the result says of each bound whose bench was run. */
export function judgeBudget(budget: Budget, result: Result): Judgement[] {
  return budget.bounds
    .filter(({ figure }) => result.benches.includes(benchOf(figure)))
    .flatMap((bound) => judgeBound(bound, result));
}

function judgeBound(bound: Bound, result: Result): Judgement[] {
  const limits = result.quick ? bound.quick : bound;
  const { what } = bound;
  if (limits === undefined)
    return [
      { id: bound.figure, what, bound: worded(bound), verdict: "not measured", why: "a quick run does not judge it" },
    ];
  const figures = result.figures.filter(({ id }) => matchesId(bound.figure, id));
  if (figures.length === 0) {
    const left = result.leftOut.filter(({ figures }) => covers(figures, bound.figure));
    const why = left.map(({ what, why }) => `${what}: ${why}`).join("; ");
    // Where nothing was left out by name the figure should be there.
    if (left.length === 0 || left.some(({ failed }) => failed === true))
      return [
        {
          id: bound.figure,
          what,
          bound: worded(limits),
          verdict: "broken",
          why: why || `there is no figure ${bound.figure}`,
        },
      ];
    return [{ id: bound.figure, what, bound: worded(limits), verdict: "not measured", why }];
  }
  return figures.map((figure) => judgeFigure(figure, bound, limits, result));
}

function judgeFigure(figure: Figure, { what, below }: Bound, limits: Limits, result: Result): Judgement {
  const label = `${what} (${figure.label})`;
  const other =
    below === undefined || result.quick
      ? undefined
      : result.figures.find(({ id }) => id === relative(below, figure.id));
  const all = [limits, ...(other === undefined ? [] : [{ atMost: other.high }])];
  const bound = [worded(limits), ...(other === undefined ? [] : [`below ${other.label}`])].join(" and ");
  const head = { id: figure.id, what: label, bound, figure };
  const within = (value: number): boolean =>
    all.every(({ atMost = Infinity, atLeast = -Infinity }) => value <= atMost && value >= atLeast);
  if (within(figure.value)) return { ...head, verdict: "holds" };
  const isSure = figure.interval !== "95 %" || !(within(figure.low) || within(figure.high));
  return { ...head, verdict: isSure ? "broken" : "unclear" };
}

interface Limits {
  readonly atMost?: number | undefined;
  readonly atLeast?: number | undefined;
}

function worded({ atMost, atLeast }: Limits): string {
  const parts = [
    ...(atMost === undefined ? [] : [`at most ${atMost}`]),
    ...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
  ];
  return parts.join(", ");
}

function benchOf(id: string): string {
  return id.slice(0, id.indexOf("/"));
}

/** "overhead/*\/monitor" means that of every load. */
export function matchesId(pattern: string, id: string): boolean {
  const [wanted, given] = [pattern.split("/"), id.split("/")];
  return wanted.length === given.length && wanted.every((part, index) => part === "*" || part === given[index]);
}

/** Whether the figures of a bound are among those that begin so: a * of either stands for anything. */
export function covers(beginning: string, id: string): boolean {
  const given = id.split("/");
  return beginning
    .split("/")
    .filter((part) => part !== "")
    .every((part, index) => part === "*" || given[index] === "*" || part === given[index]);
}

/** The pattern with each * as it is in the other id. */
function relative(pattern: string, id: string): string {
  const given = id.split("/");
  return pattern
    .split("/")
    .map((part, index) => (part === "*" ? (given[index] ?? "") : part))
    .join("/");
}

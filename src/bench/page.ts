import type { Judgement } from "./budget.ts";
import type { Result } from "./result.ts";
export function pageOf(result: Result, judgements: readonly Judgement[]): string {
  return JSON.stringify([result, judgements]);
}

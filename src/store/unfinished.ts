// What an earlier run judged and did not live to answer: a verdict is in the log before the act, an outcome after it,
// so a verdict without its outcomes is where the run was ended.

import { FORMAT_VERSION, type Outcome, type Verdict } from "../finding.ts";
import { lineBatches, openLogFile, rotatedFiles } from "./audit-files.ts";
import { parseLine, type AuditRecord } from "./audit-record.ts";

export interface Unfinished {
  readonly verdict: Verdict;
  /** Those of its actions that have no outcome. */
  readonly actions: readonly string[];
}

/** Reads the current file of the log and the one before it: so few acts are under way at once that they suffice. */
export async function unfinishedVerdicts(path: string): Promise<Unfinished[]> {
  const open = new Map<string, { readonly verdict: Verdict; readonly actions: Set<string> }>();
  const before = (await rotatedFiles(path)).at(-1);
  for (const file of before === undefined ? [path] : [before.path, path]) {
    for await (const { type, body } of recordsOf(file)) {
      if (type === "stop") open.clear();
      if (body["version"] !== FORMAT_VERSION) continue;
      if (type === "verdict") {
        const verdict = body as unknown as Verdict;
        const actions = verdict.actions.filter(({ allowed }) => allowed).map(({ action }) => action);
        if (actions.length > 0) open.set(verdict.finding.id, { verdict, actions: new Set(actions) });
      } else if (type === "outcome") {
        const { finding, action } = body as unknown as Outcome;
        const judged = open.get(finding);
        judged?.actions.delete(action);
        if (judged?.actions.size === 0) open.delete(finding);
      }
    }
  }
  return [...open.values()].map(({ verdict, actions }) => ({ verdict, actions: [...actions] }));
}

async function* recordsOf(file: string): AsyncGenerator<AuditRecord> {
  const handle = await openLogFile(file);
  if (handle === undefined) return;
  try {
    for await (const lines of lineBatches(handle)) {
      for (const line of lines) {
        const record = parseLine(line);
        // What is no record was told when the log was opened.
        if (typeof record !== "string") yield record;
      }
    }
  } finally {
    await handle.close();
  }
}

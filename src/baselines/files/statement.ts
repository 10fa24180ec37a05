// The statement of a baseline of files: the rules, and which file of entries it speaks of. The entries lie beside it, since
// a hundred thousand of them are too many for what has to be read whole before it is believed.

import { SealProblem, isObject, quoted } from "../seal-problem.ts";
import { STATEMENT_TYPE, type BaselineHeader, type Statement } from "../statement.ts";
import { rulesProblem, type FileRule } from "./rules.ts";

export const FILE_BASELINE = "urn:rimon:baseline:files:v1";
/** What the bytes of the entries are: FORMATS.md. */
export const ENTRIES_FORMAT = "rimon-file-entries-v1";

export interface FileScope {
  readonly roots: readonly string[];
  readonly rules: readonly FileRule[];
  /** Into file systems that are mounted below the roots, too. */
  readonly crossFilesystems: boolean;
  /** The content of larger files is not read. */
  readonly maxBytes: number;
}

export interface FileEntries {
  /** The name of a file in the folder of the statement. */
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly count: number;
}

export interface FileBaselineStatement {
  readonly scope: FileScope;
  readonly entries: FileEntries;
  /** The SHA-256 of the entries that these replace. */
  readonly previous?: string;
}

export function fileStatement(header: BaselineHeader, { scope, entries, previous }: FileBaselineStatement): Statement {
  const { name, sha256, bytes, count } = entries;
  return {
    _type: STATEMENT_TYPE,
    subject: [{ name, digest: { sha256 } }],
    predicateType: FILE_BASELINE,
    predicate: {
      ...header,
      ...scope,
      entries: { format: ENTRIES_FORMAT, bytes, count },
      ...(previous === undefined ? {} : { previous }),
    },
  };
}

/** What a statement of this type says; throws a SealProblem. */
export function parseFileStatement({ predicateType, predicate, subject }: Statement): FileBaselineStatement {
  if (predicateType !== FILE_BASELINE)
    throw new SealProblem(
      "wrong-predicate",
      `expected a baseline of type "${FILE_BASELINE}", got ${quoted(predicateType)}; rimon files init makes one`,
    );
  const { roots, rules, crossFilesystems, maxBytes, entries, previous } = predicate;
  const [only, ...more] = subject;
  if (only === undefined || more.length > 0) throw wrong("there must be one subject, the file of entries");
  if (!/^[^/\0]{1,255}$/.test(only.name) || only.name === "." || only.name === "..")
    throw wrong("the name of the subject must be that of a file beside the statement");
  if (
    !Array.isArray(roots) ||
    roots.length === 0 ||
    roots.some((root) => typeof root !== "string" || !root.startsWith("/"))
  )
    throw wrong("roots must be a list of absolute paths");
  const problem = rulesProblem(rules);
  if (problem !== undefined) throw wrong(problem);
  if (typeof crossFilesystems !== "boolean") throw wrong("crossFilesystems must be true or false");
  if (!isCount(maxBytes)) throw wrong("maxBytes must be a whole number");
  if (!isObject(entries) || entries["format"] !== ENTRIES_FORMAT)
    throw wrong(
      `entries.format must be "${ENTRIES_FORMAT}", got ${quoted(isObject(entries) ? entries["format"] : entries)}`,
    );
  const { bytes, count } = entries;
  if (!isCount(bytes) || !isCount(count)) throw wrong("entries.bytes and entries.count must be whole numbers");
  if (previous !== undefined && typeof previous !== "string") throw wrong("previous must be a digest");
  return {
    scope: { roots, rules: rules as readonly FileRule[], crossFilesystems, maxBytes },
    entries: { name: only.name, sha256: only.digest.sha256, bytes, count },
    ...(previous === undefined ? {} : { previous }),
  };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function wrong(expected: string): SealProblem {
  return new SealProblem("wrong-predicate", `in a baseline of files ${expected}`);
}

// Executables that are known, as a baseline: what `rimon gate learn` writes, to be sealed, and what the gate believes.

import { SealProblem, quoted } from "./seal-problem.ts";
import { STATEMENT_TYPE, type BaselineHeader, type Statement } from "./statement.ts";

export const EXECUTABLES_BASELINE = "urn:rimon:baseline:executables:v1";

export interface Executable {
  readonly path: string;
  readonly sha256: string;
}

/** Each executable is a subject; the predicate holds the header and the folders that were looked through. */
export function executablesStatement(
  header: BaselineHeader,
  folders: readonly string[],
  executables: readonly Executable[],
): Statement {
  return {
    _type: STATEMENT_TYPE,
    subject: executables.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } })),
    predicateType: EXECUTABLES_BASELINE,
    predicate: { ...header, folders },
  };
}

/** The executables of a statement of this type; throws a SealProblem. */
export function executablesOf({ predicateType, subject }: Statement): readonly Executable[] {
  if (predicateType !== EXECUTABLES_BASELINE)
    throw new SealProblem(
      "wrong-predicate",
      `expected a baseline of type "${EXECUTABLES_BASELINE}", got ${quoted(predicateType)}; rimon gate learn makes one`,
    );
  return subject.map(({ name, digest }) => ({ path: name, sha256: digest.sha256 }));
}

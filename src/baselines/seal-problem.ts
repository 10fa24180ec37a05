// Why a sealed baseline is refused, and the reading of its JSON. A message says what a value is and quotes a string only
// where it is a name: what was taken for a baseline may be a file of secrets.

export type SealCode =
  | "missing" // there is no baseline
  | "empty" // there is one of no bytes
  | "too-large" // larger, or with more signatures, than is read
  | "not-an-envelope" // not a DSSE envelope
  | "wrong-type" // an envelope of something else than a statement
  | "unsigned" // an envelope without a signature
  | "wrong-key" // no signature of a pinned key fits: another key signed, or something was changed since
  | "below-threshold" // fewer pinned keys signed than must
  | "not-a-statement" // signed, and not an in-toto Statement
  | "wrong-predicate" // a statement of another kind, or without the header of a baseline
  | "expired"
  | "not-yet" // made in the future
  | "rolled-back" // older than the one that was in force
  | "other-machine" // made elsewhere
  | "wrong-entries"; // what lies in a file beside the statement is missing, or not what was sealed

export class SealProblem extends Error {
  readonly code: SealCode;

  constructor(code: SealCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SealProblem";
    this.code = code;
  }
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** What kind of value came, without its content. */
export function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (value === "") return "an empty string";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

const MAX_QUOTED = 100;

/** A name as it came, cut so that the sentence around it stays one; of anything but a string its kind. */
export function quoted(value: unknown): string {
  if (typeof value !== "string" || value === "") return kindOf(value);
  return JSON.stringify(value.length > MAX_QUOTED ? `${value.slice(0, MAX_QUOTED)}…` : value);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The JSON object that these bytes are; `what` names it for the message. */
export function parseObject(bytes: Uint8Array, code: SealCode, what: string): JsonObject {
  let value: unknown;
  try {
    // A byte order mark stays where it is, so that it is refused too: one text, one reading.
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    // The parser's own words are left out: they quote the text.
    throw new SealProblem(code, `${what} must be JSON in UTF-8, got ${bytes.length} bytes that are not`);
  }
  if (!isObject(value)) throw new SealProblem(code, `${what} must be a JSON object, got ${kindOf(value)}`);
  return value;
}

// The one error type users of the library and the command line meet. Codes are part of the interface.

export type ErrorCode =
  | "RIMON_CONFIG" // the configuration is not usable; the message names file, line and column
  | "RIMON_USAGE" // a command or a library call was used wrongly
  | "RIMON_UNSUPPORTED" // this platform or kernel cannot do it
  | "RIMON_PERMISSION" // the process lacks a capability for it
  | "RIMON_AUDIT" // the audit log cannot be opened, continued or trusted
  | "RIMON_NATIVE" // the addon is missing, of another version, or sent bytes that make no sense
  | "RIMON_ACTION"; // a responder could not do what it was asked

export class RimonError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "RimonError";
    this.code = code;
  }
}

/** The text of whatever was thrown, for a message that a person reads. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

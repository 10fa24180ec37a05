// Reading what commands print.

import assert from "node:assert/strict";

// oxlint-disable-next-line no-control-regex
export const ANSI = /\u001b\[/;

/** Every line as the JSON it must be. */
export function jsonLines(stdout: string): Record<string, unknown>[] {
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const value: unknown = JSON.parse(line);
      assert.ok(typeof value === "object" && value !== null, line);
      return value as Record<string, unknown>;
    });
}

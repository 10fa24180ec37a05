// Running commands as a person or another machine does, and reading what they print.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Child } from "../fixtures/child.ts";

/** What `rimon` starts. */
export const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

// oxlint-disable-next-line no-control-regex
export const ANSI = /\u001b\[/;
// oxlint-disable-next-line no-control-regex
export const COLOUR = /\u001b\[[0-9;]*m/;

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

/** Starts `rimon ARGS` on a pseudo terminal of its own, which passes on what is sent. */
export function startOnTerminal(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Child {
  const words = [process.execPath, "--import", import.meta.resolve("tsx"), main, ...args];
  const command = words.map((word) => `'${word}'`).join(" ");
  return new Child("script", ["-qec", `exec ${command}`, "/dev/null"], {
    env: { TERM: "xterm", NO_COLOR: undefined, ...env },
  });
}

/** Runs `rimon ARGS` on a pseudo terminal to its end. */
export async function runOnTerminal(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<{ readonly code: number | null; readonly lines: readonly string[] }> {
  const child = startOnTerminal(args, env);
  const { code } = await child.exited;
  return { code, lines: child.lines.items };
}

import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { NotRun } from "./not-done.ts";

/** Where a program is, or NotRun. */
export function findProgram(program: string): string {
  for (const directory of (process.env["PATH"] ?? "").split(":")) {
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Elsewhere, or nowhere.
    }
  }
  throw new NotRun(`${program} is not installed`);
}

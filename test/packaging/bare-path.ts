// A PATH with Node and npm and nothing to compile with, and a copy of the checkout to use it on.

import { execFile } from "node:child_process";
import { cpSync, existsSync, readdirSync, realpathSync, symlinkSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const DEADLINE_MS = 240_000;

/** What is made here, or not of the project. */
const NOT_COPIED = [".git", ".nodes", "build", "dist", "node_modules"];

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder with links to these programs, by the PATH of the test. */
export function folderOfPrograms(names: readonly string[]): string {
  const folder = temporaryDirectory("programs");
  for (const name of names) {
    const found = (process.env["PATH"] ?? "")
      .split(delimiter)
      .map((path) => join(path, name))
      .find(existsSync);
    if (found === undefined) throw new Error(`${name} is not on PATH`);
    symlinkSync(realpathSync(found), join(folder, name));
  }
  return folder;
}

/** A fresh clone with the changes of this checkout, after npm ci and before any build. */
export function copyOfCheckout(): string {
  const copy = temporaryDirectory("checkout");
  const names = readdirSync(root).filter((name) => !NOT_COPIED.includes(name));
  for (const name of names) cpSync(join(root, name), join(copy, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}

/** Runs a program to its end in that folder; `path` is the PATH it has. */
export async function runIn(
  folder: string,
  command: string,
  args: readonly string[],
  path = process.env["PATH"],
): Promise<Ended> {
  // What npm told the tests about this checkout is not for an npm elsewhere.
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_|^INIT_CWD$/i.test(name));
  const options = { cwd: folder, env: { ...Object.fromEntries(kept), PATH: path }, timeout: DEADLINE_MS };
  return new Promise((resolve) => {
    const child = execFile(command, [...args], { ...options, maxBuffer: 1 << 26 }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

// Programs that a bench starts: of this folder, with node, and others of the node. All end with the bench, by their own
// pid.

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { IS_FROM_SOURCE, programFile } from "../package.ts";

const SEARCHED = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
const STDERR_KEPT = 4_096;
const ENDS_WITHIN_MS = 10_000;

/** Where a program is, or undefined. */
export function findProgram(name: string): string | undefined {
  return SEARCHED.map((folder) => join(folder, name)).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The arguments with which node runs a file of src/, from source or from dist/: "bench/host". */
export function ownProgram(name: string): string[] {
  const loader = IS_FROM_SOURCE ? ["--import", import.meta.resolve("tsx")] : [];
  return [...loader, programFile(name)];
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly cwd?: string;
}

/** What it prints; rejects with what it said if it fails. */
export function run(
  path: string,
  args: readonly string[],
  { env = {}, signal, cwd }: RunOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      path,
      [...args],
      {
        env: { ...process.env, ...env },
        maxBuffer: 64 * 1024 * 1024,
        ...(signal === undefined ? {} : { signal }),
        ...(cwd === undefined ? {} : { cwd }),
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`${path} ${args.join(" ")}: ${stderr.trim().split("\n").at(-1) || error.message}`));
      },
    );
  });
}

/** A program that says lines and hears them, until it is ended. */
export class Service {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #name: string;
  readonly #listeners = new Set<(line: string) => void>();
  #stderr = "";
  #ended: string | undefined;

  constructor(path: string, args: readonly string[], env: Readonly<Record<string, string>> = {}, argv0?: string) {
    this.#name = [path, ...args].join(" ");
    this.#child = spawn(path, args, {
      env: { ...process.env, ...env },
      ...(argv0 === undefined ? {} : { argv0 }),
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stdin?.on("error", () => {}); // Told by its exit.
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    if (this.#child.stdout)
      createInterface({ input: this.#child.stdout }).on("line", (line) => {
        for (const listener of this.#listeners) listener(line);
      });
    this.#exited = new Promise((resolve) => {
      const end = (how: string): void => {
        this.#ended ??= how;
        resolve();
      };
      this.#child.once("error", (error) => end(error.message));
      this.#child.once("close", (code, signal) =>
        end(`ended with ${signal ?? `code ${code}`}: ${this.#stderr.trim()}`),
      );
    });
    process.once("exit", this.#kill);
  }

  readonly #kill = (): void => void this.#child.kill("SIGKILL");

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#name} could not be started`);
    return this.#child.pid;
  }

  onLine(listener: (line: string) => void): void {
    this.#listeners.add(listener);
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** The first line from now on of which `wanted` makes something. */
  hear<T>(wanted: (line: string) => T | undefined, withinMs = 30_000): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (then: () => void): void => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
        then();
      };
      const listener = (line: string): void => {
        const made = wanted(line);
        if (made !== undefined) settle(() => resolve(made));
      };
      const fail = (why: string): void => settle(() => reject(new Error(`${this.#name} ${why}`)));
      const timer = setTimeout(() => fail(`did not answer within ${withinMs / 1_000} s: ${this.#stderr}`), withinMs);
      this.#listeners.add(listener);
      void this.#exited.then(() => fail(this.#ended ?? "ended"));
    });
  }

  /** Asks with a line, and takes the next one as its answer in JSON. */
  async ask<T>(order: object, withinMs?: number): Promise<T> {
    const answer = this.hear((line) => line, withinMs);
    this.say(JSON.stringify(order));
    const told = JSON.parse(await answer) as T & { readonly error?: string };
    if (told.error !== undefined) throw new Error(told.error);
    return told;
  }

  /** Ends its input, which is how the programs that wait for it end. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    const timer = setTimeout(this.#kill, ENDS_WITHIN_MS);
    await this.#exited;
    clearTimeout(timer);
    process.removeListener("exit", this.#kill);
  }

  /** SIGTERM, and SIGKILL if that is not enough; resolves when it is gone. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    process.removeListener("exit", this.#kill);
    if (this.#ended === undefined) this.#child.kill(signal);
    const timer = setTimeout(this.#kill, ENDS_WITHIN_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}

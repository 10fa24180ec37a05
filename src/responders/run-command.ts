// A command of the administrator's: no shell, its input given, its time and its output bounded.

import { spawn } from "node:child_process";
import { RimonError } from "../errors.ts";
import { printable } from "./printable.ts";

/** Of stdout and stderr only the end is kept. */
const KEEP_BYTES = 64 * 1024;
/** How long output may still arrive after the exit; a grandchild may hold the pipe open for ever. */
const DRAIN_MS = 200;

/** Runs it and returns what it wrote; throws if it cannot be started, fails or takes too long. */
export function runCommand(
  command: readonly string[],
  input: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string> {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    // Arguments may hold a credential, so only the program is named.
    const fail = (what: string) => reject(new RimonError("RIMON_ACTION", `${program ?? "the command"} ${what}`));
    if (program === undefined) return fail("is empty: expected a program and its arguments");
    if (signal.aborted) return fail("was not started: rimon is stopping");

    const child = spawn(program, args, { cwd: "/", env: reducedEnvironment(), stdio: ["pipe", "pipe", "pipe"] });
    const stdout = new Tail();
    const stderr = new Tail();
    let stopped: string | undefined;
    let drain: NodeJS.Timeout | undefined;
    let ended = false;
    const stop = (why: string) => {
      stopped ??= why;
      child.kill("SIGKILL");
    };
    const timeout = setTimeout(() => stop(`did not end within ${timeoutMs} ms and was killed`), timeoutMs);
    const onAbort = () => stop("was killed: rimon is stopping");
    signal.addEventListener("abort", onAbort, { once: true });
    const end = (what?: string) => {
      if (ended) return;
      ended = true;
      clearTimeout(timeout);
      clearTimeout(drain);
      signal.removeEventListener("abort", onAbort);
      for (const stream of child.stdio) stream?.destroy();
      if (what === undefined) resolve(stdout.text());
      else fail(what);
    };
    const finish = () => {
      const { exitCode, signalCode } = child;
      if (stopped !== undefined) return end(stopped);
      if (exitCode === 0) return end();
      const how = exitCode === null ? `was ended by ${signalCode}` : `ended with exit code ${exitCode}`;
      const last = lastLine(stderr.text());
      end(last === "" ? how : `${how}: ${printable(last)}`);
    };

    child.on("error", (error: NodeJS.ErrnoException) => end(`could not be started: ${error.code ?? error.message}`));
    // A command need not read its input.
    child.stdin.on("error", () => {});
    child.stdout.on("data", (chunk: Buffer) => stdout.add(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.add(chunk));
    child.on("exit", () => {
      clearTimeout(timeout);
      drain = setTimeout(finish, DRAIN_MS);
    });
    child.on("close", finish);
    child.stdin.end(input);
  });
}

/** The last line that is not empty. */
export function lastLine(text: string): string {
  return (
    text
      .split("\n")
      .map((line) => line.trim())
      .findLast((line) => line !== "") ?? ""
  );
}

/** rimon's own environment may hold what is none of a command's business. */
function reducedEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name === "PATH" || name.startsWith("RIMON_")),
  );
}

class Tail {
  #bytes = Buffer.alloc(0);

  add(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]).subarray(-KEEP_BYTES);
  }

  text(): string {
    return this.#bytes.toString("utf8");
  }
}

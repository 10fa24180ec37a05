// Children of a test: started, waited for, and ended with it.

import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestContext } from "node:test";
import { addonPath, requireAddon } from "../../src/native.ts";

const DEADLINE_MS = 20_000;

/** Starts a program that is killed when the test ends. */
export function start(
  t: TestContext,
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): ChildProcess & { pid: number } {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], ...options });
  const exited = once(child, "exit");
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await exited;
  });
  if (child.pid === undefined) throw new Error(`${command} did not start`);
  return child as ChildProcess & { pid: number };
}

/** Starts a Node that runs `script` with all addons as `addon`. */
export function startNode(t: TestContext, script: string, options: SpawnOptions = {}, flags: readonly string[] = []) {
  const paths = [requireAddon().path, addonPath("files"), addonPath("drill")];
  const prologue = `const addon = Object.assign({}, ...${JSON.stringify(paths)}.map((path) => require(path)));\n`;
  return start(t, process.execPath, [...flags, "-e", prologue + script], options);
}

const lines = new WeakMap<ChildProcess, AsyncIterator<string>>();

/** The next line the child prints. */
export async function lineOf(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error("the child has no pipe to read from");
  const iterator = lines.get(child) ?? createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  lines.set(child, iterator);
  const { done, value } = await iterator.next();
  if (done) throw new Error("the child ended where a line was expected");
  return value;
}

export async function exitOf(child: ChildProcess): Promise<{ code: number | null; signal: string | null }> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return { code: child.exitCode, signal: child.signalCode };
}

/** Waits until `look` finds something. */
export async function until<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
  withinMs: number = DEADLINE_MS,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms for ${what}`);
    await sleep(5);
  }
}

// A program of the drill as a child: orders go in at its stdin, answers come back on descriptor 3, which nobody else
// sees. It ends when its stdin closes, so it never outlives the drill, however that ends.

import { spawn, type ChildProcess, type StdioPipe } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { programFile } from "../package.ts";
import { NotRun, Refused } from "./not-done.ts";

const ANSWER_MS = 60_000;
const STDERR_KEPT = 4_096;
const MAX_UNREAD = 64;
/** Of one answer: what was read out of a file comes in it, in hexadecimal. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const NEWLINE = 0x0a;
/** What children keep of the environment: no value of the caller's has to be in a process that is there to be read. */
const KEPT = ["PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH"];

/** What an answer holds when the order could not be carried out. */
interface Failure {
  readonly error: string;
  /** The kernel does not know the call. */
  readonly unknown?: boolean;
}

export interface ProgramOptions {
  /** It starts programs itself, which end with it. */
  readonly group?: boolean;
  /** Is given each line that it says, which nobody hears then. */
  readonly onLine?: (line: string) => void;
  /** For messages, if it becomes another program; the file's if not given. */
  readonly name?: string;
  /** It is ended by a longer one. */
  readonly maxLineBytes?: number;
}

export class Program {
  readonly exited: Promise<void>;
  readonly #process: ChildProcess;
  readonly #name: string;
  readonly #group: boolean;
  readonly #answers: string[] = [];
  #waiting: { resolve: (line: string) => void; reject: (reason: Error) => void } | undefined;
  #end: string | undefined;
  #stderr = "";

  /** `path` is the file as it is executed: its last component becomes the name of the process. */
  constructor(
    path: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    { group = false, onLine, name, maxLineBytes = MAX_LINE_BYTES }: ProgramOptions = {},
  ) {
    this.#group = group;
    this.#name = name ?? path.slice(path.lastIndexOf("/") + 1);
    const pipes: StdioPipe[] = ["pipe", "pipe", "pipe", "pipe"];
    this.#process = spawn(path, args, {
      stdio: pipes,
      env: { ...keptEnvironment(), ...environment },
      detached: group,
    });
    this.#process.stdin?.on("error", () => {}); // It has ended: that is told by its exit.
    this.#process.stdout?.resume();
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    const answers = this.#process.stdio[3] as Readable;
    let unended = 0;
    answers.on("data", (bytes: Buffer) => {
      const newline = bytes.lastIndexOf(NEWLINE);
      unended = newline < 0 ? unended + bytes.length : bytes.length - newline - 1;
      if (unended <= maxLineBytes) return;
      this.#end ??= `${this.#name} said more than ${maxLineBytes} bytes in one line`;
      this.#process.kill("SIGKILL");
    });
    createInterface({ input: answers }).on("line", (line) => {
      if (onLine !== undefined) onLine(line);
      else if (this.#waiting !== undefined) this.#waiting.resolve(line);
      else if (this.#answers.length < MAX_UNREAD) this.#answers.push(line);
    });
    this.exited = new Promise((resolve) => {
      const ended = (how: string): void => {
        this.#end ??= `${this.#name} ${how}${this.#lastWords()}`;
        this.#waiting?.reject(new Error(this.#end));
        resolve();
      };
      this.#process.once("error", (error) => ended(`could not be started (${error.message})`));
      this.#process.once("close", (code, signal) => ended(`ended with ${signal ?? `code ${code}`}`));
    });
  }

  /** Ended by SIGKILL, and not by us. */
  get killed(): boolean {
    return this.#process.signalCode === "SIGKILL" && !this.#process.killed;
  }

  /** How it ended, in a few words. */
  get ended(): string | undefined {
    return this.#end;
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error(`${this.#name} could not be started`);
    return this.#process.pid;
  }

  /** The next line it says. */
  async hear<Answer extends object>(): Promise<Answer> {
    const line = this.#answers.shift() ?? (await this.#nextLine());
    const answer = JSON.parse(line) as Answer | Failure;
    if ("error" in answer) throw answer.unknown === true ? new NotRun(answer.error) : new Refused(answer.error);
    return answer;
  }

  tell(order: object): void {
    this.#process.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  async ask<Answer extends object>(order: object): Promise<Answer> {
    this.tell(order);
    return this.hear<Answer>();
  }

  /** Ends its input, and it if it does not end by that in time; its exit code. */
  async close(withinMs: number): Promise<number | null> {
    this.#process.stdin?.end();
    const timer = setTimeout(() => {
      this.#end ??= `${this.#name} did not end within ${withinMs / 1_000} s`;
      this.#process.kill("SIGKILL");
    }, withinMs);
    await this.exited;
    clearTimeout(timer);
    return this.#process.exitCode;
  }

  /** Ends it and what it started; the kernel has reaped it when this resolves. */
  async end(): Promise<void> {
    const { pid } = this.#process;
    if (this.#end === undefined && pid !== undefined) {
      if (this.#group) killGroup(pid);
      this.#process.kill("SIGKILL");
    }
    await this.exited;
  }

  /** What node died of stands above its stack; the last line is its version. */
  #lastWords(): string {
    const lines = this.#stderr.trim().split("\n");
    const words = lines.findLast((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1) ?? "";
    return words === "" ? "" : `: ${words}`;
  }

  #nextLine(): Promise<string> {
    return new Promise<string>((resolve, reject) => {
      if (this.#end !== undefined) return reject(new Error(this.#end));
      const timer = setTimeout(
        () => reject(new Error(`${this.#name} did not answer within ${ANSWER_MS / 1_000} s`)),
        ANSWER_MS,
      );
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
      };
      this.#waiting = {
        resolve: (line) => (settle(), resolve(line)),
        reject: (reason) => (settle(), reject(reason)),
      };
    });
  }
}

/** The group was made with the child, and keeps its number for as long as one of it lives. */
function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ESRCH") throw thrown;
  }
}

/** The arguments with which node runs a program of this folder, from source or from dist/. */
export function programArguments(name: "decoy" | "attacker" | "lookout"): string[] {
  return [...loaderOptions(), programFile(`drill/${name}`)];
}

/** From source, the loader that compiles has to come along; what else node was told (an inspector) must not. */
function loaderOptions(): string[] {
  const { execArgv } = process;
  return execArgv.flatMap((option, index) => {
    if (/^(?:--import|--require|--loader|--experimental-loader)=/.test(option)) return [option];
    if (!/^(?:-r|--import|--require|--loader|--experimental-loader)$/.test(option)) return [];
    return [option, execArgv[index + 1] ?? ""];
  });
}

function keptEnvironment(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of KEPT) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

// The ground of one technique: the decoys, attackers and files it uses, all of which end with it.

import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { addonPath, requireAddon, requireDrillAddon } from "../native.ts";
import type { AttackerAct, AttackerOrder } from "./attacker.ts";
import { ATTACKER_NAME, DECOY_NAME, SHARED } from "./comm.ts";
import { makeCgroup, type Cgroup } from "./cgroup.ts";
import type { DecoyOrder } from "./decoy.ts";
import { findProgram } from "./find-program.ts";
import type { Ground } from "./ground.ts";
import { Program, programArguments, type ProgramOptions } from "./program.ts";
import { NotRun, Refused } from "./not-done.ts";

const TOKEN_NAME = "RIMON_DECOY_TOKEN";

interface DecoyTold {
  readonly pid: number;
  readonly tid: number;
  readonly fd: number;
  readonly address: string;
  readonly codeAddress: string;
  readonly length: number;
  readonly secret: string;
}

export interface Decoy extends Omit<DecoyTold, "secret"> {
  /** What lies at `address`. */
  readonly secret: Buffer;
  /** What stands in its environment, as text. */
  readonly token: string;
  /** Stops it from being dumped. */
  harden(): Promise<void>;
  /** Makes it make a page of its data executable; CLOCK_MONOTONIC in ns, right before it did. */
  openPage(): Promise<bigint>;
  /** Makes it load a library; the time right before that. */
  load(path: string): Promise<bigint>;
  /** Gives it a thread that has the secret on its stack and works; its tid. */
  startComputing(): Promise<number>;
  /** Makes it copy the secret to below 4 GiB; where. */
  lowCopy(): Promise<string>;
  /** Makes it hold a socket in which the secret waits to be read; its descriptor. */
  holdSocket(): Promise<number>;
  /** The time right before that. */
  becomeDumpable(): Promise<bigint>;
  /** RLIMIT_CORE 0, which can be raised again. */
  lowerCoreLimit(): Promise<void>;
  /** Makes it nobody's, if it is root's. */
  dropRoot(): Promise<void>;
}

export interface DecoyOptions {
  /** What node is told besides. */
  readonly nodeOptions?: readonly string[];
}

export interface DecoyToCome extends DecoyOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** The folder it finds at /etc, and it alone. */
  readonly etc?: string;
}

export interface Attacker {
  readonly pid: number;
  /** Does it; throws Refused if the kernel would not have it. */
  act(act: AttackerAct, order?: Partial<AttackerOrder>): Promise<{ readonly at: bigint; readonly bytes: Buffer }>;
}

export interface Tool {
  readonly pid: number;
  readonly exited: Promise<void>;
  /** The next line that the program says; rejects if it ends without one. */
  said(): Promise<void>;
  /** Has the waiting process become the program; right before that. */
  start(): bigint;
}

export interface Range {
  /** A folder of its own. */
  readonly folder: string;
  /** The audit log of the drill's own monitor. */
  readonly auditLog: string;
  /** What the monitor knows to be good. */
  readonly ground: Ground;
  /** When the drill's monitor was started; 0 before that. */
  monitorStartedAt(): bigint;
  decoy(options?: DecoyOptions): Promise<Decoy>;
  /** A process that waits to become a decoy when the function is called. */
  decoyToCome(options: DecoyToCome): Promise<() => Promise<Decoy>>;
  /** A decoy of one page or two that holds nothing but a token in its environment. */
  smallDecoy(): { readonly pid: number; readonly token: string };
  /** With mounts of its own, what it mounts ends with it. */
  attacker(options?: { readonly ownMounts?: boolean }): Promise<Attacker>;
  /** Has the attacker be among those who are refused writes of settings, where the drill has somebody refused. */
  guard(pid: number): void;
  /** A process that waits to become a program of the node, with an input that stays open and empty. */
  tool(path: string, args: readonly string[]): Promise<Tool>;
  /** Where a program is, or NotRun. */
  find(program: string): string;
  /** A cgroup in which nobody is yet, or NotRun. */
  otherCgroup(): string;
  /** A folder of its own in shared memory, or NotRun where no code can be loaded from there. */
  sharedMemory(): string;
  /** Copies a library that node itself has loaded into the folder. */
  library(into?: string): string;
  /** What has a program load a library that takes this out of its environment before main(). */
  hidingLibrary(): Readonly<Record<string, string>>;
  /** Copies the addon into the folder: a library that node stays with once it has loaded it. */
  addon(into?: string): string;
  end(): Promise<void>;
}

export interface RangeOptions {
  readonly root: string;
  readonly name: string;
  readonly auditLog: string;
  /** Of those who are refused writes of settings. */
  readonly cgroup: Cgroup | undefined;
  readonly ground: Ground;
  readonly monitorStartedAt: () => bigint;
}

/**
 * A shell that lays $0 over /etc, if it is given one, and exports the variables before "--"; says that it is there, waits
 * for a line, and then becomes the program behind them. So nothing is counted as time that passed
 * since the act but the execve(2) and what follows, and not the time in which the drill starts a process.
 */
const WAITING = `[ -z "$0" ] || mount --bind "$0" /etc || exit
while [ "$1" != -- ]; do export "$1"; shift; done; shift
echo '{}' >&3
read -r go || exit
exec "$@"`;
const SHARED_MEMORY = "/dev/shm";
const SHARED_SIZE = 4_096;

export function createRange({ root, name, auditLog, cgroup, ground, monitorStartedAt }: RangeOptions): Range {
  const folder = mkdtempSync(join(root, `${name}-`));
  const programs: Program[] = [];
  let shared: string | undefined;
  let moved: Cgroup | undefined;

  function start(
    path: string,
    args: readonly string[],
    environment?: Readonly<Record<string, string>>,
    options?: ProgramOptions,
  ): Program {
    const program = new Program(path, args, environment, options);
    programs.push(program);
    return program;
  }

  /** A process is called after the file that was executed, so it has its name before its first instruction. */
  function named(program: string, name: string): string {
    const directory = mkdtempSync(join(folder, "bin-"));
    const path = join(directory, name);
    symlinkSync(program, path);
    return path;
  }

  function decoyCommand(nodeOptions: readonly string[]): string[] {
    return [named(process.execPath, DECOY_NAME), ...nodeOptions, ...programArguments("decoy"), folder];
  }

  function decoyOf(program: Program, token: string, told: DecoyTold): Decoy {
    const order = <Answer extends object>(name: DecoyOrder, more: object = {}): Promise<Answer> =>
      program.ask<Answer>({ order: name, ...more });
    const timed = async (name: DecoyOrder, more?: object): Promise<bigint> =>
      BigInt((await order<{ at: string }>(name, more)).at);
    return {
      ...told,
      secret: Buffer.from(told.secret, "hex"),
      token,
      harden: async () => void (await order("harden")),
      openPage: () => timed("open-page"),
      load: (library) => timed("load", { path: library }),
      startComputing: async () => (await order<{ tid: number }>("start-computing")).tid,
      lowCopy: async () => (await order<{ address: string }>("low-copy")).address,
      holdSocket: async () => (await order<{ fd: number }>("hold-socket")).fd,
      becomeDumpable: () => timed("become-dumpable"),
      lowerCoreLimit: async () => void (await order("lower-core-limit")),
      dropRoot: async () => void (await order("drop-root")),
    };
  }

  return {
    folder,
    auditLog,
    ground,
    monitorStartedAt,
    async decoy({ nodeOptions = [] } = {}) {
      const token = randomBytes(32).toString("hex");
      const [path = "", ...args] = decoyCommand(nodeOptions);
      const program = start(path, args, { [TOKEN_NAME]: token });
      return decoyOf(program, token, await program.hear<DecoyTold>());
    },
    async decoyToCome({ environment = {}, nodeOptions = [], etc = "" }) {
      const token = randomBytes(32).toString("hex");
      const variables = Object.entries({ ...environment, [TOKEN_NAME]: token }).map(
        ([key, value]) => `${key}=${value}`,
      );
      const shell = ["/bin/sh", "-c", WAITING, etc, ...variables, "--", ...decoyCommand(nodeOptions)];
      const [path = "", ...args] = etc === "" ? shell : [this.find("unshare"), "--mount", "--", ...shell];
      const program = start(path, args);
      await program.hear();
      return async () => decoyOf(program, token, await program.ask<DecoyTold>({}));
    },
    smallDecoy() {
      const token = randomBytes(32).toString("hex");
      // Ends with its input, as the others do.
      const { pid } = start(named(realpathSync(this.find("cat")), DECOY_NAME), [], { [TOKEN_NAME]: token });
      return { pid, token };
    },
    async attacker({ ownMounts = false } = {}) {
      const command = [named(process.execPath, ATTACKER_NAME), ...programArguments("attacker")];
      // unshare(1) becomes the program, so its pid is the attacker's.
      const [path = "", ...args] = ownMounts ? [this.find("unshare"), "--mount", "--", ...command] : command;
      const shared = join(mkdtempSync(join(folder, "shared-")), "bytes");
      writeFileSync(shared, Buffer.alloc(SHARED_SIZE));
      const program = start(path, args, { [SHARED]: shared });
      const { pid } = await program.hear<{ pid: number }>();
      return {
        pid,
        async act(act, order = {}) {
          const before = process.hrtime.bigint();
          try {
            const { at, bytes = "" } = await program.ask<{ at: string; bytes?: string }>({ act, ...order });
            return { at: BigInt(at), bytes: Buffer.from(bytes, "hex") };
          } catch (thrown) {
            if (thrown instanceof Refused) throw new Refused(thrown.message, pid);
            if (!program.killed) throw thrown;
            // It was killed in the act: what it got by then is in the file it shares with us, and nowhere else.
            const got = readFileSync(shared);
            return { at: before, bytes: got.subarray(0, got.findLastIndex((byte) => byte !== 0) + 1) };
          }
        },
      };
    },
    guard: (pid) => cgroup?.join(pid),
    async tool(path, args) {
      const program = start("/bin/sh", ["-c", WAITING, "", "--", path, ...args], {}, { group: true });
      await program.hear();
      return {
        pid: program.pid,
        exited: program.exited,
        said: async () => void (await program.hear()),
        start() {
          const at = process.hrtime.bigint();
          program.tell({});
          return at;
        },
      };
    },
    find: findProgram,
    otherCgroup() {
      moved ??= makeCgroup(`${basename(root)}-${name}`);
      if (moved === undefined) throw new NotRun("cgroup v2 is not mounted, or may not be written to");
      return moved.path;
    },
    sharedMemory() {
      if (shared !== undefined) return shared;
      const options = [...readFileSync("/proc/self/mountinfo", "utf8").matchAll(/^(?:\S+ ){4}(\S+) (\S+) /gm)]
        .filter(([, path]) => path === SHARED_MEMORY)
        .map(([, , own]) => own ?? "");
      if (options.length === 0) throw new NotRun(`nothing is mounted at ${SHARED_MEMORY}`);
      if (options.at(-1)?.split(",").includes("noexec") === true)
        throw new NotRun(`${SHARED_MEMORY} is mounted noexec`);
      shared = mkdtempSync(join(SHARED_MEMORY, `rimon-${name}-`));
      return shared;
    },
    library(into = join(folder, "lib")) {
      const maps = readFileSync("/proc/self/maps", "utf8");
      const loaded = [...maps.matchAll(/ (\/\S+\.so(?:\.[\d.]+)?)$/gm)].map(([, path]) => path ?? "");
      // Not the C library or the loader, of which there must be one only. One that needs further libraries makes glibc
      // 2.36 end the program when it is named by LD_AUDIT.
      const path = ["libm", "libgcc_s"]
        .map((stem) => loaded.find((each) => new RegExp(`^${stem}[.-]`).test(basename(each))))
        .find((each) => each !== undefined);
      if (path === undefined) throw new NotRun("node has no library loaded that could be preloaded as well");
      mkdirSync(into, { recursive: true });
      const copy = join(into, basename(path));
      copyFileSync(path, copy);
      return copy;
    },
    hidingLibrary() {
      requireDrillAddon();
      const copy = join(folder, "hiding.so");
      copyFileSync(addonPath("drill"), copy);
      // HIDE_ASKED of native/attack.h
      return { LD_PRELOAD: copy, RIMON_DRILL_HIDE: "1" };
    },
    addon(into = folder) {
      const copy = join(into, "late.node");
      copyFileSync(requireAddon().path, copy);
      return copy;
    },
    async end() {
      await Promise.all(programs.map((program) => program.end()));
      moved?.remove();
      moved = undefined;
      for (const made of [folder, shared]) if (made !== undefined) rmSync(made, { recursive: true, force: true });
    },
  };
}

/** How many bytes of the secret came out, at the place where it is. */
export function leaked(secret: Buffer, got: Buffer): number {
  let same = 0;
  for (const [index, byte] of secret.entries()) if (got[index] === byte) same++;
  return same;
}

/** How many bytes of a token stand in what came out, wherever. */
export function leakedToken(token: string, got: Buffer): number {
  return got.includes(token) ? token.length / 2 : 0;
}

/** How many bytes of the secret stand in what came out, wherever. */
export function leakedSomewhere(secret: Buffer, got: Buffer): number {
  return got.includes(secret) ? secret.length : 0;
}

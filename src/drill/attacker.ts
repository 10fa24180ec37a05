// Program: does to a process what it is ordered to, one act at a time, and tells what came out of it. It ends with its
// stdin.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { reasonOf } from "../errors.ts";
import { requireDrillAddon } from "../native.ts";
import { ATTACKER_NAME, SHARED, writeComm } from "./comm.ts";
import { evaluateIn } from "./inspector.ts";

const CORE_PATTERN = "/proc/sys/kernel/core_pattern";
/** Of OpenSSL in node, or in the library it is linked to; or of the C library, where neither shows its names. */
const PROBED = ["EVP_EncryptInit_ex", "getrandom"] as const;
const REGISTERS = 1_024;
const STACK = 4_096;
/** The program that "add-program" adds. */
const ADDED = "cat";
const WRITTEN = Buffer.from("written by rimon's drill");

const say = (answer: object): void => void writeSync(3, `${JSON.stringify(answer)}\n`);

writeComm(ATTACKER_NAME);
const { attack } = requireDrillAddon();
const sharedFile = process.env[SHARED];
const shared = sharedFile === undefined ? undefined : attack.share(sharedFile);
let held: number | undefined;
let socket: number | undefined;

export interface AttackerOrder {
  readonly act: AttackerAct;
  /** Or a tid. */
  readonly pid: number;
  readonly fd: number;
  readonly path: string;
  readonly folder: string;
  /** Decimal: JSON has no 64-bit numbers. */
  readonly address: string;
  readonly length: number;
  readonly signal: NodeJS.Signals;
}

/**
 * `begin` is called once everything is at hand, right before the first system call that is part of the act; what calls it
 * not at all began when it was ordered.
 */
type Act = (order: AttackerOrder, begin: () => void) => Buffer | undefined | void | Promise<Buffer | undefined | void>;

const ACTS = {
  "ptrace-attach": into((pid, address, bytes) => attack.ptraceAttach(pid, address, bytes)),
  "ptrace-seize": into((pid, address, bytes) => attack.ptraceSeize(pid, address, bytes)),
  "ptrace-hold": ({ pid }) => attack.ptraceHold(pid, false),
  "ptrace-peek": into((pid, address, bytes) => attack.ptracePeek(pid, address, bytes)),
  "ptrace-getregs": ({ pid }) => {
    attack.ptraceHold(pid, false);
    const registers = attack.ptraceRegisters(pid, REGISTERS);
    attack.ptraceRelease(pid);
    return registers;
  },
  "text-patch-ptrace": at((pid, address) => attack.ptracePatchText(pid, address)),
  "criu-like-seize": ({ pid }, begin) => {
    const tids = readdirSync(`/proc/${pid}/task`).map(Number);
    begin();
    for (const tid of tids) attack.ptraceHold(tid, true);
    for (const tid of tids) attack.ptraceRegisters(tid, REGISTERS);
    attack.kcmp(pid);
    readMapFiles(pid);
    for (const tid of tids) attack.ptraceRelease(tid);
  },
  "process-vm-readv": into((pid, address, bytes) => attack.processVmReadv(pid, address, bytes)),
  "process-vm-readv-int80": into((pid, address, bytes) => attack.processVmReadv32(pid, address, bytes)),
  "process-vm-writev": at((pid, address) => void attack.processVmWritev(pid, address, WRITTEN)),
  "process-madvise": ({ pid, address, length }) => attack.processMadvise(pid, BigInt(address), length),
  "proc-mem-detached-mount": into((pid, address, bytes) => attack.procMemDetachedMount(pid, address, bytes)),
  "mount-procfs": ({ path }) => void execFileSync("mount", ["-t", "proc", "proc", path]),
  "pidfd-getfd": ({ pid, fd, length }, begin) => {
    const bytes = room(length);
    begin();
    return attack.pidfdGetfd(pid, fd, bytes);
  },
  kcmp: ({ pid }) => attack.kcmp(pid),
  "code-breakpoint": at((pid, address) => attack.ptraceLeaveBreakpoint(pid, address)),
  "text-patch": at((pid, address) => attack.patchText(pid, address)),
  "read-at": readAt,
  "read-relative": ({ path, address, length }, begin) => {
    const before = process.cwd();
    process.chdir(path);
    try {
      return readAt({ path: "mem", address, length }, begin);
    } finally {
      process.chdir(before);
    }
  },
  "write-at": ({ path, address }: Pick<AttackerOrder, "path" | "address">, begin) => {
    begin();
    const fd = openSync(path, "r+");
    try {
      // User space ends below 2^53, where numbers are still whole.
      writeSync(fd, WRITTEN, 0, WRITTEN.length, Number(address));
    } finally {
      closeSync(fd);
    }
  },
  "uring-read": ({ path, address, length }, begin) => {
    const [from, bytes] = [BigInt(address), room(length)];
    begin();
    return attack.uringRead(path, from, bytes);
  },
  hold: ({ path }) => void (held = openSync(path, "r")),
  "read-held": ({ address, length }, begin) => readMemory(() => holding(held), address, length, begin),
  "bind-socket": ({ path }) => void (socket = attack.bindSocket(path)),
  "pass-held": ({ path }) => attack.sendDescriptor(path, holding(held)),
  "read-passed": ({ address, length }, begin) =>
    readMemory(() => attack.receiveDescriptor(holding(socket)), address, length, begin),
  "read-file": ({ path }) => readFileSync(path),
  "make-mem-device": ({ path }) => void execFileSync("mknod", [path, "c", "1", "1"]),
  "open-file": ({ path }) => closeSync(openSync(path, "r")),
  "read-map-files": ({ pid }) => readMapFiles(pid),
  "widen-coredump-filter": ({ pid }) => writeFileSync(`/proc/${pid}/coredump_filter`, "0x7f"),
  "perf-sample-stack": ({ pid }) => attack.perfStack(pid, STACK),
  "uprobe-crypto": ({ pid }) => probe((name) => attack.uprobe(pid, name)),
  "uprobe-hold": ({ pid }) => probe((name) => attack.uprobeHold(pid, name)),
  "hold-copier": ({ pid, address }) => void (held = attack.bpfCopier(pid, BigInt(address))),
  "read-copier": ({ length }, begin) => {
    const bytes = room(length);
    begin();
    return bytes.subarray(0, readSync(holding(held), bytes, 0, length, null));
  },
  "hold-memfd": async ({ path }) => {
    held = attack.memfd(readFileSync(path));
    await practiseStarting(path);
  },
  "hold-deleted": async ({ path, folder }) => {
    const copy = join(folder, basename(path));
    copyFileSync(path, copy);
    held = openSync(copy, "r");
    unlinkSync(copy);
    await practiseStarting(path);
  },
  "add-program": async ({ path, folder }) => {
    const at = (name: string): string => join(folder, name);
    // Of its own, since an overlay is no place for the layer of another.
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", folder]);
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(at(name));
    const layers = `lowerdir=${at("lower")},upperdir=${at("upper")},workdir=${at("work")}`;
    execFileSync("mount", ["-t", "overlay", "-o", layers, "overlay", at("merged")]);
    copyFileSync(path, join(at("merged"), ADDED));
    await practiseStarting(path);
  },
  "exec-added": async ({ path }, begin) => {
    const pid = Buffer.alloc(4);
    // It may be one of several programs in one file, and know by that which.
    pid.writeUInt32LE(await run(path, ADDED, begin));
    return pid;
  },
  "exec-held": async ({ path }, begin) =>
    void (await run(`/proc/${process.pid}/fd/${holding(held)}`, basename(path), begin)),
  inspect: async ({ pid }) => Buffer.from(await evaluateIn(pid, "JSON.stringify(process.env)")),
  "change-mode": ({ path }) => chmodSync(path, 0o644),
  signal: ({ pid, signal }) => void process.kill(pid, signal),
  "prlimit-memlock": ({ pid }) => attack.lowerLockLimit(pid),
  "move-to-cgroup": ({ pid, path }) => writeFileSync(join(path, "cgroup.procs"), String(pid)),
  "swap-use-restore": ({ path }, begin) => {
    const [content, { atime, mtime }] = [readFileSync(path), statSync(path)];
    begin();
    writeFileSync(path, "#!/bin/sh\nexit 0\n");
    execFileSync(path);
    writeFileSync(path, content);
    utimesSync(path, atime, mtime);
  },
  "prlimit-core": ({ pid }) => attack.raiseCoreLimit(pid),
  "core-pattern-write": (_, begin) => {
    // The value that stands there: whenever this ends, the setting is as it was. One write(2) sets it whole.
    const value = readFileSync(CORE_PATTERN);
    begin();
    const fd = openSync(CORE_PATTERN, "r+");
    try {
      writeSync(fd, value);
    } finally {
      closeSync(fd);
    }
  },
  "dump-to": ({ pid, path }) => attack.dumpTo(pid, path),
} satisfies Readonly<Record<string, Act>>;

export type AttackerAct = keyof typeof ACTS;

/** Where to read to: what comes into it is there for who ordered it even if this process is killed. */
function room(length: number): Buffer {
  return shared !== undefined && length <= shared.length ? shared.subarray(0, length) : Buffer.alloc(length);
}

function at(act: (pid: number, address: bigint) => void): Act {
  return ({ pid, address }, begin) => {
    const where = BigInt(address);
    begin();
    act(pid, where);
  };
}

function into(act: (pid: number, address: bigint, bytes: Buffer) => Buffer): Act {
  return ({ pid, address, length }, begin) => {
    const [from, bytes] = [BigInt(address), room(length)];
    begin();
    return act(pid, from, bytes);
  };
}

function readAt(
  { path, address, length }: Pick<AttackerOrder, "path" | "address" | "length">,
  begin: () => void,
): Buffer {
  let fd: number | undefined;
  try {
    return readMemory(() => (fd = openSync(path, "r")), address, length, begin);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** With the descriptor that `open` gives, which is part of the act. */
function readMemory(open: () => number, address: string, length: number, begin: () => void): Buffer {
  const [from, bytes] = [BigInt(address), room(length)];
  begin();
  return bytes.subarray(0, readSync(open(), bytes, 0, length, from));
}

function probe(set: (name: string) => void): void {
  try {
    set(PROBED[0]);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
    set(PROBED[1]);
  }
}

function readMapFiles(pid: number): void {
  const directory = `/proc/${pid}/map_files`;
  for (const name of readdirSync(directory)) readlinkSync(join(directory, name));
}

function holding(fd: number | undefined): number {
  if (fd === undefined) throw new Error("expected an order before this one that gives a descriptor to hold");
  return fd;
}

/** As practise() does, of a program that is only started. */
async function practiseStarting(path: string): Promise<void> {
  const child = spawn(path, [], { stdio: ["pipe", "ignore", "inherit"] });
  const closed = once(child, "close");
  child.stdin.end();
  await closed;
}

/** Starts a program that ends with its input, and so with us; our parent hears when it has. */
async function run(path: string, argv0: string, begin: () => void): Promise<number> {
  begin();
  const child = spawn(path, [], { argv0, stdio: ["pipe", "ignore", "inherit"] });
  await once(child, "spawn");
  return child.pid ?? 0;
}

async function carryOut(order: AttackerOrder): Promise<void> {
  let began = process.hrtime.bigint();
  const begin = (): void => void (began = process.hrtime.bigint());
  try {
    const act: Act = ACTS[order.act];
    const got = await act(order, begin);
    say({ at: String(began), ...(got instanceof Buffer ? { bytes: got.toString("hex") } : {}) });
  } catch (thrown) {
    say({ error: reasonOf(thrown), unknown: (thrown as NodeJS.ErrnoException).code === "ENOSYS" });
  }
}

/** Node compiles a function when it is first called, which is not to be time that passed since an act. */
function practise(): void {
  readAt({ path: "/dev/zero", address: "0", length: 1 }, () => {});
  ACTS["write-at"]({ path: "/dev/null", address: "0" }, () => {});
}

practise();
createInterface({ input: process.stdin })
  .on("line", (line) => void carryOut(JSON.parse(line) as AttackerOrder))
  .on("close", () => process.exit(0));

say({ pid: process.pid });

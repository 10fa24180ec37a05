// Program: does to a process what it is ordered to, one act at a time, and tells what came out of it. It ends with its
// stdin.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  unlinkSync,
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

type Act = (order: AttackerOrder) => Buffer | undefined | void | Promise<Buffer | undefined | void>;

const ACTS = {
  "ptrace-attach": ({ pid, address, length }) => attack.ptraceAttach(pid, BigInt(address), room(length)),
  "ptrace-seize": ({ pid, address, length }) => attack.ptraceSeize(pid, BigInt(address), room(length)),
  "ptrace-hold": ({ pid }) => attack.ptraceHold(pid, false),
  "ptrace-peek": ({ pid, address, length }) => attack.ptracePeek(pid, BigInt(address), room(length)),
  "ptrace-getregs": ({ pid }) => {
    attack.ptraceHold(pid, false);
    const registers = attack.ptraceRegisters(pid, REGISTERS);
    attack.ptraceRelease(pid);
    return registers;
  },
  "text-patch-ptrace": ({ pid, address }) => attack.ptracePatchText(pid, BigInt(address)),
  "criu-like-seize": ({ pid }) => {
    const tids = readdirSync(`/proc/${pid}/task`).map(Number);
    for (const tid of tids) attack.ptraceHold(tid, true);
    for (const tid of tids) attack.ptraceRegisters(tid, REGISTERS);
    attack.kcmp(pid);
    readMapFiles(pid);
    for (const tid of tids) attack.ptraceRelease(tid);
  },
  "process-vm-readv": ({ pid, address, length }) => attack.processVmReadv(pid, BigInt(address), room(length)),
  "process-vm-readv-int80": ({ pid, address, length }) => attack.processVmReadv32(pid, BigInt(address), room(length)),
  "process-vm-writev": ({ pid, address }) => void attack.processVmWritev(pid, BigInt(address), WRITTEN),
  "process-madvise": ({ pid, address, length }) => attack.processMadvise(pid, BigInt(address), length),
  "proc-mem-detached-mount": ({ pid, address, length }) =>
    attack.procMemDetachedMount(pid, BigInt(address), room(length)),
  "mount-procfs": ({ path }) => void execFileSync("mount", ["-t", "proc", "proc", path]),
  "pidfd-getfd": ({ pid, fd, length }) => attack.pidfdGetfd(pid, fd, room(length)),
  kcmp: ({ pid }) => attack.kcmp(pid),
  "code-breakpoint": ({ pid, address }) => attack.ptraceLeaveBreakpoint(pid, BigInt(address)),
  "text-patch": ({ pid, address }) => attack.patchText(pid, BigInt(address)),
  "read-at": ({ path, address, length }) => readAt(path, address, length),
  "read-relative": ({ path, address, length }) => {
    const before = process.cwd();
    process.chdir(path);
    try {
      return readAt("mem", address, length);
    } finally {
      process.chdir(before);
    }
  },
  "write-at": ({ path, address }) => {
    const fd = openSync(path, "r+");
    try {
      // User space ends below 2^53, where numbers are still whole.
      writeSync(fd, WRITTEN, 0, WRITTEN.length, Number(address));
    } finally {
      closeSync(fd);
    }
  },
  "uring-read": ({ path, address, length }) => attack.uringRead(path, BigInt(address), room(length)),
  hold: ({ path }) => void (held = openSync(path, "r")),
  "read-held": ({ address, length }) => readMemory(holding(held), address, length),
  "bind-socket": ({ path }) => void (socket = attack.bindSocket(path)),
  "pass-held": ({ path }) => attack.sendDescriptor(path, holding(held)),
  "read-passed": ({ address, length }) => readMemory(attack.receiveDescriptor(holding(socket)), address, length),
  "read-file": ({ path }) => readFileSync(path),
  "make-mem-device": ({ path }) => void execFileSync("mknod", [path, "c", "1", "1"]),
  "open-file": ({ path }) => closeSync(openSync(path, "r")),
  "read-map-files": ({ pid }) => readMapFiles(pid),
  "widen-coredump-filter": ({ pid }) => writeFileSync(`/proc/${pid}/coredump_filter`, "0x7f"),
  "perf-sample-stack": ({ pid }) => attack.perfStack(pid, STACK),
  "uprobe-crypto": ({ pid }) => probe((name) => attack.uprobe(pid, name)),
  "uprobe-hold": ({ pid }) => probe((name) => attack.uprobeHold(pid, name)),
  "hold-copier": ({ pid, address }) => void (held = attack.bpfCopier(pid, BigInt(address))),
  "read-copier": ({ length }) => {
    const bytes = room(length);
    return bytes.subarray(0, readSync(holding(held), bytes, 0, length, null));
  },
  "hold-memfd": ({ path }) => void (held = attack.memfd(readFileSync(path))),
  "hold-deleted": ({ path, folder }) => {
    const copy = join(folder, basename(path));
    copyFileSync(path, copy);
    held = openSync(copy, "r");
    unlinkSync(copy);
  },
  "exec-held": ({ path }) => run(`/proc/${process.pid}/fd/${holding(held)}`, basename(path)),
  inspect: async ({ pid }) => Buffer.from(await evaluateIn(pid, "JSON.stringify(process.env)")),
  "change-mode": ({ path }) => chmodSync(path, 0o644),
  signal: ({ pid, signal }) => void process.kill(pid, signal),
  "prlimit-core": ({ pid }) => attack.raiseCoreLimit(pid),
  "core-pattern-write": () => {
    // The value that stands there: whenever this ends, the setting is as it was. One write(2) sets it whole.
    const value = readFileSync(CORE_PATTERN);
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

function readAt(path: string, address: string, length: number): Buffer {
  const fd = openSync(path, "r");
  try {
    return readMemory(fd, address, length);
  } finally {
    closeSync(fd);
  }
}

function readMemory(fd: number, address: string, length: number): Buffer {
  const bytes = room(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, BigInt(address)));
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

/** Starts a program that ends with its input, and so with us; our parent hears when it has. */
async function run(path: string, argv0: string): Promise<void> {
  await once(spawn(path, [], { argv0, stdio: ["pipe", "ignore", "inherit"] }), "spawn");
}

async function carryOut(order: AttackerOrder): Promise<void> {
  const at = String(process.hrtime.bigint());
  try {
    const act: Act = ACTS[order.act];
    const got = await act(order);
    say({ at, ...(got instanceof Buffer ? { bytes: got.toString("hex") } : {}) });
  } catch (thrown) {
    say({ at, error: reasonOf(thrown), unknown: (thrown as NodeJS.ErrnoException).code === "ENOSYS" });
  }
}

createInterface({ input: process.stdin })
  .on("line", (line) => void carryOut(JSON.parse(line) as AttackerOrder))
  .on("close", () => process.exit(0));

say({ pid: process.pid });

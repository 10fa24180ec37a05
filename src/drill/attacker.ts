// Program: does to a process what it is ordered to, one act at a time, and tells what came out of it. It ends with its
// stdin.

import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { reasonOf } from "../errors.ts";
import { requireAddon } from "../native.ts";
import { ATTACKER_NAME, writeComm } from "./comm.ts";
import type { AttackerOrder } from "./range.ts";

const CORE_PATTERN = "/proc/sys/kernel/core_pattern";

const say = (answer: object): void => void writeSync(3, `${JSON.stringify(answer)}\n`);

writeComm(ATTACKER_NAME);
const { attack } = requireAddon().addon;
let held: number | undefined;

const ACTS: Readonly<Record<AttackerOrder["act"], (order: AttackerOrder) => Buffer | undefined>> = {
  "ptrace-attach": ({ pid, address, length }) => attack.ptraceAttach(pid, BigInt(address), length),
  "ptrace-seize": ({ pid, address, length }) => attack.ptraceSeize(pid, BigInt(address), length),
  "process-vm-readv": ({ pid, address, length }) => attack.processVmReadv(pid, BigInt(address), length),
  "proc-mem-detached-mount": ({ pid, address, length }) => attack.procMemDetachedMount(pid, BigInt(address), length),
  "mount-procfs": ({ path }) => void execFileSync("mount", ["-t", "proc", "proc", path]),
  "pidfd-getfd": ({ pid, fd, length }) => attack.pidfdGetfd(pid, fd, length),
  "text-patch": ({ pid, address }) => void attack.patchText(pid, BigInt(address)),
  "code-breakpoint": ({ pid, address }) => void attack.leaveBreakpoint(pid, BigInt(address)),
  "read-at": ({ path, address, length }) => {
    const fd = openSync(path, "r");
    try {
      return readMemory(fd, address, length);
    } finally {
      closeSync(fd);
    }
  },
  hold: ({ path }) => {
    held = openSync(path, "r");
    return undefined;
  },
  "read-held": ({ address, length }) => {
    if (held === undefined) throw new Error("expected an order to hold a file first");
    return readMemory(held, address, length);
  },
  "read-file": ({ path }) => readFileSync(path),
  "change-mode": ({ path }) => void chmodSync(path, 0o644),
  abort: ({ pid }) => void process.kill(pid, "SIGABRT"),
  "core-pattern-write": () => {
    // The value that stands there: whenever this ends, the setting is as it was. One write(2) sets it whole.
    const value = readFileSync(CORE_PATTERN);
    const fd = openSync(CORE_PATTERN, "r+");
    try {
      writeSync(fd, value);
    } finally {
      closeSync(fd);
    }
    return undefined;
  },
};

function readMemory(fd: number, address: string, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, BigInt(address)));
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line) as AttackerOrder;
    const at = String(process.hrtime.bigint());
    try {
      const got = ACTS[order.act](order);
      say({ at, ...(got === undefined ? {} : { bytes: got.toString("hex") }) });
    } catch (thrown) {
      say({ at, error: reasonOf(thrown) });
    }
  })
  .on("close", () => process.exit(0));

say({ pid: process.pid });

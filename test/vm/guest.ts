// Boots a kernel in a virtual machine and runs one command in it.

import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Child } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { provideKernel, type KernelName } from "./kernels.ts";
import { baseArchive, commandArchive, findProgram, MARK } from "./root.ts";

const BOOT_MS = 60_000;
const LONGEST_MS = 240_000;
const LSM = "lockdown,capability,landlock,yama,bpf";
const SHOWN_LINES = 40;

export interface GuestOptions {
  readonly kernel: KernelName;
  /** For busybox's shell; its standard output is what comes back. */
  readonly script: string;
  /** The kernel's lsm=; by default Debian's with bpf added. */
  readonly lsm?: string;
  /** More for the kernel's command line. */
  readonly append?: string;
  /** Files, folders or names of programs that come along. */
  readonly extras?: readonly string[];
  /** Called with each line of the command's standard output. */
  readonly onLine?: (line: string) => void;
  readonly longestMs?: number;
}

export interface GuestRun {
  readonly release: string;
  readonly code: number;
  readonly lines: readonly string[];
  /** What the kernel and the command's standard error said. */
  readonly console: string;
  readonly bootMs: number;
  readonly totalMs: number;
}

let base: Buffer | undefined;

/** Boots, runs the script and powers off. Throws with the machine's last words if the script did not come to its end. */
export async function runInGuest(options: GuestOptions): Promise<GuestRun> {
  const { script, lsm = LSM, append = "", extras = [], longestMs = LONGEST_MS, onLine } = options;
  if (process.arch !== "x64")
    throw new Error(`expected an x64 processor, as the machine's programs are this one's; this is ${process.arch}`);
  const qemu = findProgram("qemu-system-x86_64");
  const kernel = provideKernel(options.kernel);
  const folder = temporaryDirectory("vm");
  const image = join(folder, "initrd");
  // Not compressed: unpacking, emulated, takes longer than reading it.
  base ??= baseArchive();
  writeFileSync(image, base);
  appendFileSync(image, commandArchive(script, extras));
  const log = join(folder, "console");

  const startedAt = Date.now();
  let bootedAt: number | undefined;
  let code: number | undefined;
  const lines: string[] = [];
  const child = new Child("setpriv", ["--pdeathsig", "KILL", ...machine()], {
    onLine(raw) {
      const line = plain(raw);
      if (line === `${MARK}started`) bootedAt = Date.now();
      else if (line.startsWith(`${MARK}ended `)) code = Number(line.slice(`${MARK}ended `.length));
      else if (bootedAt !== undefined) {
        lines.push(line);
        onLine?.(line);
      }
    },
  });
  const bootTimer = setTimeout(() => {
    if (bootedAt === undefined) child.kill("SIGKILL");
  }, BOOT_MS);
  await child.exited;
  clearTimeout(bootTimer);

  const console = existsSync(log) ? plain(readFileSync(log, "utf8")) : "";
  if (code === undefined || bootedAt === undefined) {
    const what =
      bootedAt === undefined
        ? `boot within ${BOOT_MS / 1_000} s`
        : `run its command to the end within ${longestMs / 1_000} s`;
    const last = [...lines, ...console.split("\n")].slice(-SHOWN_LINES).join("\n");
    throw new Error(`expected the ${kernel.release} machine to ${what}; it said:\n${last}\n${child.stderr}`);
  }
  // init writes a line feed first, for what does not end with one.
  if (lines.at(-1) === "") lines.pop();
  return {
    release: kernel.release,
    code,
    lines,
    console,
    bootMs: bootedAt - startedAt,
    totalMs: Date.now() - startedAt,
  };

  function machine(): string[] {
    const words = `console=ttyS0 quiet panic=-1 no_timer_check lsm=${lsm} ${append}`;
    // Never KVM: where /dev/kvm can be opened it need not work, and a stock kernel then hangs.
    const board = "-M pc -accel tcg,thread=multi -smp 2 -m 1G -nodefaults -no-reboot -display none";
    // No more than node needs: what further instructions save a processor, they cost its emulation.
    const processor = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand,+rdseed";
    return [
      ...`timeout --foreground --signal=KILL ${longestMs / 1_000} setpriv --pdeathsig KILL`.split(" "),
      qemu,
      ...board.split(" "),
      "-cpu",
      processor,
      "-serial",
      `file:${log}`,
      "-serial",
      "stdio",
      "-kernel",
      kernel.image,
      "-initrd",
      image,
      "-append",
      words,
    ];
  }
}

/** Without the bytes that steer a terminal. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]/g, "");
}

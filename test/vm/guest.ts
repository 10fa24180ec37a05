// Boots a kernel in a virtual machine and runs one command in it.

import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Child } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { provideKernel, type KernelName } from "./kernels.ts";
import { baseArchive, commandArchive, findProgram, MARK, type GuestArchitecture } from "./root.ts";

const BOOT_MS = 60_000;
const LONGEST_MS = 600_000;
/** How long the machine's monitor is listened to. */
const ANSWER_MS = 1_000;
/** Of the registers that a monitor lists. */
const WHERE = /^(CPU#|[RE]IP=|CS |CR[03]=|\s*PC=)/;
const LSM = "lockdown,capability,landlock,yama,bpf";
const SHOWN_LINES = 40;

/** The processor, and the second line, which is init's; the first is the kernel's console. */
const BOARDS: Readonly<Record<GuestArchitecture, readonly string[]>> = {
  // No more than node needs: what further instructions save a processor, they cost its emulation.
  x64: "-M pc -cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand,+rdseed -serial stdio".split(" "),
  arm64: [
    ..."-M virt,gic-version=3 -cpu max,pauth=off,sve=off".split(" "),
    ..."-chardev stdio,id=line -device virtio-serial-pci -device virtconsole,chardev=line".split(" "),
  ],
};

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

const bases = new Map<GuestArchitecture, Buffer>();

/**
 * The kernel patches its own code under a breakpoint that all processors see (text_poke_bp(), arch/x86/kernel/alternative.c).
 * Emulated ones now and then still run into it when it is gone, and the kernel, which knows of none there, gives up.
 */
const EMULATION_FAILED = /Oops: int3: /;

/** It never came to its first command: nothing of what is tested had run. */
class NotBooted extends Error {}

/**
 * Boots, runs the script and powers off. Throws with the machine's last words if the script did not come to its end; a
 * machine that did not boot, or whose emulation failed, is booted once more, and that is said.
 */
export async function runInGuest(options: GuestOptions): Promise<GuestRun> {
  try {
    return await boot(options);
  } catch (thrown) {
    if (!(thrown instanceof NotBooted) && !EMULATION_FAILED.test(String(thrown))) throw thrown;
    process.stderr.write(`${options.kernel}: once more, as it was not the command that failed: ${String(thrown)}\n`);
    return boot(options);
  }
}

async function boot(options: GuestOptions): Promise<GuestRun> {
  const { script, lsm = LSM, append = "", extras = [], longestMs = LONGEST_MS, onLine } = options;
  const kernel = provideKernel(options.kernel);
  const { architecture } = kernel;
  if (architecture !== "arm64" && architecture !== process.arch)
    throw new Error(`expected an x64 processor, as the machine's programs are this one's; this is ${process.arch}`);
  const qemu = findProgram(architecture === "arm64" ? "qemu-system-aarch64" : "qemu-system-x86_64");
  const folder = temporaryDirectory("vm");
  const image = join(folder, "initrd");
  // Not compressed: unpacking, emulated, takes longer than reading it.
  const base = bases.get(architecture) ?? baseArchive(architecture);
  bases.set(architecture, base);
  writeFileSync(image, base);
  appendFileSync(image, commandArchive(architecture, script, extras));
  const log = join(folder, "console");
  const monitor = join(folder, "monitor");

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
  let stuckAt = "";
  const bootTimer = setTimeout(async () => {
    if (bootedAt !== undefined) return;
    stuckAt = await askWhere(monitor);
    // It may have come to its command meanwhile.
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
    const failed = EMULATION_FAILED.exec(console)?.[0] ?? "";
    const said = `expected the ${kernel.release} machine to ${what}; it said: ${failed}\n${last}\n${child.stderr}${stuckAt}`;
    throw bootedAt === undefined ? new NotBooted(said) : new Error(said);
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
    const console = architecture === "arm64" ? "ttyAMA0" : "ttyS0";
    const words = `console=${console} quiet panic=-1 no_timer_check lsm=${lsm} ${append}`;
    return [
      ...`timeout --foreground --signal=KILL ${longestMs / 1_000} setpriv --pdeathsig KILL`.split(" "),
      qemu,
      // Never KVM: where /dev/kvm can be opened it need not work, and a stock kernel then hangs.
      ..."-accel tcg,thread=multi -smp 2 -m 1G -nodefaults -no-reboot -display none".split(" "),
      "-serial",
      `file:${log}`,
      "-monitor",
      `unix:${monitor},server=on,wait=off`,
      ...BOARDS[architecture],
      "-kernel",
      kernel.image,
      "-initrd",
      image,
      "-append",
      words,
    ];
  }
}

/** Where each processor of the machine is, by its monitor; empty if that is silent. */
async function askWhere(path: string): Promise<string> {
  let answer = "";
  const line = connect(path)
    .on("error", () => undefined)
    .on("data", (data) => (answer += data.toString("latin1")));
  line.write("info registers -a\n");
  await sleep(ANSWER_MS);
  line.destroy();
  return plain(answer)
    .split("\n")
    .filter((each) => WHERE.test(each))
    .join("\n");
}

/** Without the bytes that steer a terminal. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]/g, "");
}

// Boots a kernel in a virtual machine and runs one command in it.

import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Child } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { provideKernel, type KernelName } from "./kernels.ts";
import { baseArchive, commandArchive, findProgram, MARK, type GuestArchitecture } from "./root.ts";

/** How often a machine is looked at: by the first time it has to have booted. */
const LOOK_MS = 60_000;
const LONGEST_MS = 600_000;
/** In all, of which the last is judged whatever it came to. */
const BOOTS = 3;
/** How long the machine's monitor is listened to. */
const ANSWER_MS = 1_000;
/** How long it lists the processors' exceptions, and how many of one breakpoint then are a loop. */
const LIST_MS = 100;
const LOOP = 20;
/** Of the registers that a monitor lists. */
const WHERE = /^(CPU#|[RE]IP=|CS |CR[03]=|\s*PC=)/;
const LSM = "lockdown,capability,landlock,yama,bpf";
const SHOWN_LINES = 80;

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
  /** It is ended at the first look after it: up to a minute later. */
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
 * The kernel patches its own code under a breakpoint (text_poke_bp(), arch/x86/kernel/alternative.c). An emulated
 * processor that translates a page while another writes to it may keep the breakpoint for good (QEMU before its commit
 * deba78709a). Kernels that know of none there give up; older ones go back to it, around and around, and both processors
 * are stuck in the end.
 */
const GAVE_UP = /Oops: int3: /;
/** Run into in the kernel, with all registers: a processor that comes from elsewhere has others in them. */
const BREAKPOINT = /v=03 .*cpl=0 IP=[^]*?(?=RIP=)/g;

/** It never came to its first command, so that nothing of what is tested had run; or its emulation failed. */
class MachineFailed extends Error {}

/**
 * Boots, runs the script and powers off. Throws with the machine's last words if the script did not come to its end; a
 * machine that did not boot, or whose emulation failed, is booted again, and that is said.
 */
export async function runInGuest(options: GuestOptions): Promise<GuestRun> {
  for (let left = BOOTS - 1; ; left--)
    try {
      return await boot(options);
    } catch (thrown) {
      if (left === 0 || !(thrown instanceof MachineFailed)) throw thrown;
      process.stderr.write(`${options.kernel}: once more, as it was not the command that failed: ${String(thrown)}\n`);
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
  let stood: Standing | undefined;
  const timer = setInterval(async () => {
    const found = await look(monitor, folder);
    // It may have come to its command meanwhile.
    if (bootedAt !== undefined && found.breakpoint === undefined && Date.now() < startedAt + longestMs) return;
    stood = found;
    child.kill("SIGKILL");
  }, LOOK_MS);
  await child.exited;
  clearInterval(timer);

  const said = console();
  if (code === undefined || bootedAt === undefined) {
    const what =
      bootedAt === undefined
        ? `boot within ${LOOK_MS / 1_000} s`
        : `run its command to the end within ${longestMs / 1_000} s`;
    const last = [lines, said.split("\n")].flatMap((each) => each.slice(-SHOWN_LINES)).join("\n");
    const loop = stood?.breakpoint === undefined ? "" : `; a processor goes around and around:\n${stood.breakpoint}\n`;
    const message = `expected the ${kernel.release} machine to ${what}${loop}; it said:\n${last}\n${child.stderr}${stood?.where ?? ""}`;
    if (bootedAt === undefined || loop !== "" || GAVE_UP.test(said)) throw new MachineFailed(message);
    throw new Error(message);
  }
  // init writes a line feed first, for what does not end with one.
  if (lines.at(-1) === "") lines.pop();
  return {
    release: kernel.release,
    code,
    lines,
    console: said,
    bootMs: bootedAt - startedAt,
    totalMs: Date.now() - startedAt,
  };

  function console(): string {
    return existsSync(log) ? plain(readFileSync(log, "utf8")) : "";
  }

  function machine(): string[] {
    const device = architecture === "arm64" ? "ttyAMA0" : "ttyS0";
    // Warnings are wanted: the stacks of processors that are stuck are among them.
    const level = "loglevel=5 softlockup_all_cpu_backtrace=1";
    const words = `console=${device} ${level} panic=-1 no_timer_check lsm=${lsm} ${append}`;
    return [
      ...`timeout --foreground --signal=KILL ${(longestMs + LOOK_MS) / 1_000} setpriv --pdeathsig KILL`.split(" "),
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

interface Standing {
  /** Of each processor, empty if the monitor is silent. */
  readonly where: string;
  /** How one of them runs into a breakpoint of the kernel all the time. */
  readonly breakpoint: string | undefined;
}

/** Asks the machine's monitor. */
async function look(monitor: string, folder: string): Promise<Standing> {
  let answer = "";
  const line = connect(monitor)
    .on("error", () => undefined)
    .on("data", (data) => (answer += data.toString("latin1")));
  // What is run into twice, a second apart, was not just being patched.
  const lists = [join(folder, "first"), join(folder, "second")];
  for (const list of lists) {
    line.write(`logfile ${list}\nlog int\n`);
    await sleep(LIST_MS);
    line.write("log none\n");
    await sleep(ANSWER_MS);
  }
  line.write("info registers -a\n");
  await sleep(ANSWER_MS);
  line.destroy();
  const [first = [], second = []] = lists.map(breakpointsOf);
  return {
    where: plain(answer)
      .split("\n")
      .filter((each) => WHERE.test(each))
      .join("\n"),
    breakpoint: first.find((each) => second.includes(each)),
  };
}

function breakpointsOf(list: string): string[] {
  const times = new Map<string, number>();
  if (existsSync(list))
    for (const [state] of readFileSync(list, "latin1").matchAll(BREAKPOINT))
      times.set(state, (times.get(state) ?? 0) + 1);
  return [...times].filter(([, count]) => count >= LOOP).map(([state]) => state);
}

/** Without the bytes that steer a terminal. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]/g, "");
}

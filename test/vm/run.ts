// Runs a command in a virtual machine, with rimon as it is built now:
//   node --import tsx test/vm/run.ts [OPTION]... -- COMMAND...
//     --kernel NAME    one of kernels.ts; 6.1 if not given
//     --lsm LIST       the kernel's lsm=; Debian's with bpf added if not given
//     --append WORDS   more for the kernel's command line
//     --with PATH      a file, a folder or a program's name that comes along; may be repeated
//     --source         src, test and tsx come along, to run tests there
//     --seconds N      after how many it is ended, within a minute more; 240 if not given
// A single COMMAND is a line for the shell; several words are one command with its arguments.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runInGuest } from "./guest.ts";
import { KERNELS, type KernelName } from "./kernels.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: "string", default: "6.1" },
    lsm: { type: "string" },
    append: { type: "string" },
    with: { type: "string", multiple: true, default: [] },
    source: { type: "boolean", default: false },
    seconds: { type: "string", default: "240" },
  },
});
const kernel = KERNELS.find((name) => name === values.kernel) as KernelName | undefined;
if (kernel === undefined) throw new Error(`expected --kernel ${KERNELS.join(" or ")}, got ${values.kernel}`);
if (positionals.length === 0) throw new Error("expected a command behind --");

/** To run TypeScript from source. */
const SOURCE = [
  "src",
  "test",
  "scripts",
  "tsconfig.json",
  ...["tsx", "esbuild", "@esbuild"].map((name) => `node_modules/${name}`),
];

const build = fileURLToPath(new URL("../../scripts/build.mjs", import.meta.url));
if (spawnSync(process.execPath, [build, "--missing"], { stdio: "inherit" }).status !== 0) process.exit(1);

const quoted = positionals.map((word) => `'${word.replaceAll("'", `'\\''`)}'`);
const {
  release,
  code,
  console: said,
  bootMs,
  totalMs,
} = await runInGuest({
  kernel,
  script: `exec 2>&1\n${positionals.length === 1 ? positionals[0] : quoted.join(" ")}\n`,
  extras: [...values.with, ...(values.source ? SOURCE : [])],
  longestMs: Number(values.seconds) * 1_000,
  ...(values.lsm === undefined ? {} : { lsm: values.lsm }),
  ...(values.append === undefined ? {} : { append: values.append }),
  onLine: (line) => console.log(line),
});
if (said !== "") console.error(said);
console.error(`${release}: ended with ${code}; booted in ${bootMs / 1_000} s, ${totalMs / 1_000} s in all`);
process.exitCode = code;

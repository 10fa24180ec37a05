// The whole suite, or the files named:  npm test [-- FILE...]
// Builds what is missing and, as root on Debian, installs the debuggers and tools that the tests run for real.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { delimiter, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Programs that tests start, and the Debian package each comes in. */
const TOOLS = {
  gdb: "gdb",
  rpm: "rpm",
  strace: "strace",
  ltrace: "ltrace",
  perf: "linux-perf",
  bpftrace: "bpftrace",
  criu: "criu",
  lsof: "lsof",
  pstree: "psmisc",
  ps: "procps",
  script: "bsdutils",
  setpriv: "util-linux",
  mount: "mount",
  "mkfs.ext4": "e2fsprogs",
  readelf: "binutils",
  "redis-server": "redis-server",
  "redis-benchmark": "redis-tools",
  wrk: "wrk",
  openssl: "openssl",
  "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
  "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
  "qemu-aarch64": "qemu-user",
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-system-aarch64": "qemu-system-arm",
  busybox: "busybox-static",
};

/** Tests of these folders watch the whole node or change it for a moment: one at a time, after the others. */
const ALONE = ["attacks", "quiet", "end-to-end", "faults", "drill", "native", "cli", "sensors", "readme", "packaging"];

/** Those of this folder boot emulated machines, the last of all. */
const EMULATED = "vm";

/** Beyond it a file of tests hangs. */
const LONGEST_MS = 300_000;
const LONGEST_EMULATED_MS = 3_600_000;

const named = process.argv.slice(2);
run(process.execPath, [join(root, "scripts", "build.mjs"), "--missing"]);
provideTools();

const files = named.length > 0 ? named : testFiles(join(root, "test"));
const isIn = (folder) => (file) => relative(join(root, "test"), join(root, file)).startsWith(`${folder}/`);
const emulated = files.filter(isIn(EMULATED));
const alone = files.filter((file) => ALONE.some((folder) => isIn(folder)(file)));
const together = files.filter((file) => !alone.includes(file) && !emulated.includes(file));
let failed = false;
if (together.length > 0) failed = test(together, 2) || failed;
if (alone.length > 0) failed = test(alone, 1) || failed;
if (emulated.length > 0) failed = test(emulated, 1, LONGEST_EMULATED_MS) || failed;
process.exit(failed ? 1 : 0);

function test(files, concurrency, longestMs = LONGEST_MS) {
  // A test that fails may leave something open; it must not hold up the others for ever.
  const bounds = ["--test-force-exit", `--test-timeout=${longestMs}`];
  const args = [
    "--import",
    "tsx",
    "--test",
    "--test-reporter=spec",
    `--test-concurrency=${concurrency}`,
    ...bounds,
    ...files,
  ];
  return spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status !== 0;
}

function testFiles(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => relative(root, join(folder, name)))
    .sort();
}

function provideTools() {
  const missing = Object.entries(TOOLS).filter(([tool]) => !isOnPath(tool));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  const command = ["apt-get", "install", "-y", "--no-install-recommends", ...packages];
  if (process.getuid?.() !== 0 || !isOnPath("apt-get")) {
    console.error(`the tests run ${missing.map(([tool]) => tool).join(", ")} for real; as root: ${command.join(" ")}`);
    process.exit(1);
  }
  console.log(`the tests run ${missing.map(([tool]) => tool).join(", ")} for real: ${command.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  run("apt-get", ["update", "-qq"], env);
  run(command[0], ["-qq", ...command.slice(1)], env);
}

function isOnPath(tool) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.some((folder) => existsSync(join(folder, tool)));
}

function run(command, args, env = process.env) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], env });
  if (status !== 0) process.exit(status ?? 1);
}

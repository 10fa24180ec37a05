// Compiles TypeScript to dist/ and native/ to build/Release/rimon.node.
//   node scripts/build.mjs               everything
//   node scripts/build.mjs --missing     only what is absent or older than its sources
//   node scripts/build.mjs --addon-only  without TypeScript
//
// The addon needs gcc and g++ and nothing else: its headers come from npm, what to compile and how from binding.gyp,
// so there is one list for this and for node-gyp.

import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { basename, delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);
const OPTIONS = ["--missing", "--addon-only"];
const options = process.argv.slice(2);
const unknown = options.find((option) => !OPTIONS.includes(option));
if (unknown !== undefined) fail(`expected ${OPTIONS.join(" or ")}, got ${unknown}`);
const onlyMissing = options.includes("--missing");

if (!options.includes("--addon-only")) await buildTypeScript();
await buildAddon();

async function buildTypeScript() {
  const made = join(root, "dist", "cli", "main.js");
  const sources = ["src", "tsconfig.json", "tsconfig.build.json"].map((name) => join(root, name));
  if (onlyMissing && !isOlder(made, sources)) return;
  const compiler = join(root, "node_modules", ".bin", "tsc");
  if (!existsSync(compiler)) fail("TypeScript is not installed; run: npm ci");
  await timed("dist/", async () => {
    // Files whose source is gone must not linger.
    rmSync(join(root, "dist"), { recursive: true, force: true });
    await run(process.execPath, [compiler, "-p", "tsconfig.build.json"]);
    chmodSync(made, 0o755);
  });
}

async function buildAddon() {
  if (process.platform !== "linux") {
    console.log(`no addon on ${process.platform}: rimon watches Linux nodes; replay, audit, config and explain work`);
    return;
  }
  const folder = join(root, "build", "Release");
  const made = join(folder, "rimon.node");
  if (onlyMissing && !isOlder(made, [join(root, "native"), join(root, "binding.gyp")])) return;
  const cc = process.env.CC ?? "gcc";
  const cxx = process.env.CXX ?? "g++";
  const missing = [cc, cxx].filter((tool) => !isOnPath(tool));
  if (missing.length > 0)
    fail(`the addon needs ${missing.join(" and ")}; on Debian or Ubuntu: apt-get install gcc g++ make`);

  const [target] = JSON.parse(readFileSync(join(root, "binding.gyp"), "utf8")).conditions[0][1].targets;
  const includes = [require("node-api-headers").include_dir, join(root, "node_modules", "node-addon-api")];
  const common = [
    "-fPIC",
    "-DNODE_GYP_MODULE_NAME=rimon",
    ...target.defines.map((name) => `-D${name}`),
    ...target.cflags,
  ];
  const objects = join(folder, "objects");
  mkdirSync(objects, { recursive: true });
  await timed("build/Release/rimon.node", async () => {
    const compile = async (source) => {
      const object = join(objects, `${basename(source)}.o`);
      const isC = source.endsWith(".c");
      const flags = isC
        ? target.cflags_c
        : ["-std=c++17", "-fexceptions", ...includes.flatMap((path) => ["-isystem", path])];
      await run(isC ? cc : cxx, [...common, ...flags, "-c", join(root, source), "-o", object]);
      return object;
    };
    const compiled = await inParallel(target.sources, compile);
    // A running rimon keeps the file it has mapped: the new one takes its name, not its place.
    await run(cxx, ["-shared", "-o", `${made}.new`, ...compiled, ...target.ldflags]);
    renameSync(`${made}.new`, made);
  });
}

async function inParallel(items, work) {
  const results = [];
  const waiting = items.entries();
  const worker = async () => {
    for (const [index, item] of waiting) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

async function timed(what, work) {
  const startedAt = Date.now();
  console.log(`building ${what} ...`);
  await work();
  console.log(`built ${what} in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
}

/** Ends the build with the tool's own words if it fails; says nothing otherwise. */
async function run(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (chunk) => (output += chunk));
  const ended = await new Promise((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) => resolve(code ?? signal));
  });
  if (ended === 0) return;
  process.stderr.write(output);
  fail(`${basename(command)} ended with ${ended}`);
}

/** True if `made` is not there or something in `sources` was changed after it. */
function isOlder(made, sources) {
  if (!existsSync(made)) return true;
  return Math.max(...sources.map(newest)) > statSync(made).mtimeMs;
}

function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function isOnPath(tool) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, tool)));
}

function fail(message) {
  console.error(`build: ${message}`);
  process.exit(1);
}

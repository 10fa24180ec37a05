// Compiles TypeScript to dist/ and native/ to build/Release/rimon.node.
//   node scripts/build.mjs               everything
//   node scripts/build.mjs --missing     only what is absent or older than its sources
//   node scripts/build.mjs --addon-only  without TypeScript

import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, statSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const OPTIONS = ["--missing", "--addon-only"];
const options = process.argv.slice(2);
const unknown = options.find((option) => !OPTIONS.includes(option));
if (unknown !== undefined) fail(`expected ${OPTIONS.join(" or ")}, got ${unknown}`);
const onlyMissing = options.includes("--missing");

if (!options.includes("--addon-only")) buildTypeScript();
buildAddon();

function buildTypeScript() {
  const made = join(root, "dist");
  const sources = [join(root, "src"), join(root, "tsconfig.json"), join(root, "tsconfig.build.json")];
  if (onlyMissing && !isOlder(made, sources)) return;
  run("dist/", "tsc", ["-p", "tsconfig.build.json"]);
  const main = join(root, "dist", "cli", "main.js");
  if (existsSync(main)) chmodSync(main, 0o755);
}

function buildAddon() {
  if (process.platform !== "linux") {
    console.log(
      `no addon on ${process.platform}: rimon watches Linux nodes; replay, verify and explain work without it`,
    );
    return;
  }
  const made = join(root, "build", "Release", "rimon.node");
  if (onlyMissing && !isOlder(made, [join(root, "native"), join(root, "binding.gyp")])) return;
  const missing = ["gcc", "g++", "make", "python3"].filter((tool) => !isOnPath(tool));
  // CC, CXX and PYTHON name others, as node-gyp reads them.
  const needed = missing.filter(
    (tool) => process.env[{ gcc: "CC", "g++": "CXX", python3: "PYTHON" }[tool] ?? ""] === undefined,
  );
  if (needed.length > 0)
    fail(`the addon needs ${needed.join(", ")}; on Debian or Ubuntu: apt-get install gcc g++ make python3`);
  const prefix = join(dirname(process.execPath), "..");
  // Headers beside this very Node spare a download.
  const local = existsSync(join(prefix, "include", "node", "node_api.h")) ? [`--nodedir=${prefix}`] : [];
  run("build/Release/rimon.node", "node-gyp", ["configure", "build", ...local]);
  // make leaves it as it is where only a comment of binding.gyp changed.
  utimesSync(made, new Date(), new Date());
}

function run(what, tool, args) {
  const startedAt = Date.now();
  const path = join(root, "node_modules", ".bin", tool);
  if (!existsSync(path)) fail(`${tool} is not installed; run: npm install`);
  const result = spawnSync(process.execPath, [path, ...args], { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
  if (result.status !== 0) {
    process.stderr.write(result.stdout + result.stderr);
    fail(`${what} could not be built: ${tool} ended with ${result.error?.message ?? result.signal ?? result.status}`);
  }
  console.log(`built ${what} in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
}

/** True if `made` is not there or something in `sources` was changed after it. */
function isOlder(made, sources) {
  if (!existsSync(made)) return true;
  return Math.max(...sources.map(newest)) > newest(made);
}

function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function isOnPath(tool) {
  return (process.env.PATH ?? "").split(":").some((folder) => folder !== "" && existsSync(join(folder, tool)));
}

function fail(message) {
  console.error(`build: ${message}`);
  process.exit(1);
}

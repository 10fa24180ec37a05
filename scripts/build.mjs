// Bundles TypeScript in dist/ and compiles native/ to build/Release/.
//   node scripts/build.mjs               everything
//   node scripts/build.mjs --missing     only what is absent or not from the present sources
//   node scripts/build.mjs --addon-only  without TypeScript
//   node scripts/build.mjs --prebuilds   the addons that ship, to prebuilds/: the same bits wherever the compilers are the same
//   node scripts/build.mjs --package     dist/ for npm pack, which must not take prebuilds of other sources
//
// The addons need gcc and g++ and nothing else: their headers come from npm, what to compile and how from binding.gyp,
// so there is one list for this and for node-gyp. Where prebuilds/ has addons from the present sources, --missing
// builds none.

import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { basename, delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import {
  ADDONS,
  BUILD_FLAGS,
  PREBUILT,
  binding,
  builtPath,
  headerVersions,
  madeFrom,
  nativeSourceHash,
  prebuiltPath,
} from "./native-source.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);
const OPTIONS = ["--missing", "--addon-only", "--prebuilds", "--package"];
const options = process.argv.slice(2);
const unknown = options.find((option) => !OPTIONS.includes(option));
if (unknown !== undefined) fail(`expected ${OPTIONS.join(", ")}, got ${unknown}`);
/** What of src/ is started or imported by others: each is a file of dist/, what they share is in further ones. */
const PROGRAMS = [
  "index",
  "custody",
  "cli/main",
  "drill/decoy",
  "drill/attacker",
  "drill/lookout",
  "bench/host",
  "bench/subject",
  "bench/https-node",
  "bench/crypto-child",
  "bench/files-child",
];
const onlyMissing = options.includes("--missing");

if (options.includes("--prebuilds")) {
  for (const { arch, prefix, link } of PREBUILT) {
    const compilers = { cc: `${prefix}gcc`, cxx: `${prefix}g++` };
    const pathOf = (addon) => prebuiltPath(root, arch, addon);
    await buildAddons({ ...compilers, pathOf, objects: `build/linux-${arch}`, link });
  }
} else if (options.includes("--package")) {
  const paths = PREBUILT.flatMap(({ arch }) => ADDONS.map((addon) => prebuiltPath(root, arch, addon)));
  const old = paths.filter((path) => !isCurrent(path));
  if (old.length > 0) fail(`${old.map(shown).join(" and ")} not from the present native/; run: npm run prebuilds`);
  await buildTypeScript();
} else {
  if (!options.includes("--addon-only")) await buildTypeScript();
  await buildAddonsHere();
}

async function buildTypeScript() {
  const made = join(root, "dist", "cli", "main.js");
  const sources = ["src", "tsconfig.json", "tsconfig.build.json"].map((name) => join(root, name));
  if (onlyMissing && !isOlder(made, sources)) return;
  const compiler = join(root, "node_modules", ".bin", "tsc");
  if (!existsSync(compiler)) fail("TypeScript is not installed; run: npm ci");
  await timed("dist/", async () => {
    // Files whose source is gone must not linger.
    rmSync(join(root, "dist"), { recursive: true, force: true });
    await Promise.all([bundle(), run(process.execPath, [compiler, "-p", "tsconfig.build.json"])]);
    chmodSync(made, 0o755);
  });
}

/** In few files: for Node to find and link some two hundred, ours and those of packages, takes it half a second a start. */
async function bundle() {
  const { build } = await import("esbuild");
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: PROGRAMS.map((name) => `src/${name}.ts`),
    outbase: "src",
    outdir: "dist",
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    // The addon's loader has to be asked where it lies, and the bench brings systeminformation only in a checkout.
    external: ["node-gyp-build", "systeminformation", "tsx"],
    // Packages in the older format of modules ask for Node's own by it.
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
    },
    metafile: true,
    logLevel: "warning",
  });
  writeFileSync(join(root, "dist", "LICENSES.txt"), licensesOf(Object.keys(metafile.inputs)));
}

/** What the packages say for themselves whose files are in the bundle. */
function licensesOf(inputs) {
  const names = inputs.flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  const texts = [...new Set(names)].toSorted().map((name) => {
    const folder = join(root, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const text = readFileSync(join(folder, "LICENSE"), "utf8").trim();
    return `${name} ${version}, ${license}\n\n${text}\n`;
  });
  return `Parts of these packages are in the files beside this one.\n\n${texts.join(`\n${"-".repeat(80)}\n\n`)}`;
}

async function buildAddonsHere() {
  if (process.platform !== "linux") {
    console.log(`no addon on ${process.platform}: rimon watches Linux nodes; replay, audit, config and explain work`);
    return;
  }
  if (onlyMissing) {
    if (ADDONS.every((addon) => isCurrent(builtPath(root, addon)))) return;
    if (ADDONS.every((addon) => isCurrent(prebuiltPath(root, process.arch, addon)))) {
      // Older ones here would be loaded first.
      for (const addon of ADDONS) rmSync(builtPath(root, addon), { force: true });
      return;
    }
  }
  const { CC: cc = "gcc", CXX: cxx = "g++" } = process.env;
  const pathOf = (addon) => builtPath(root, addon);
  await buildAddons({ cc, cxx, pathOf, objects: "build/Release/objects", link: [] });
}

async function buildAddons({ cc, cxx, pathOf, objects, link }) {
  const { flags, targets } = binding(root);
  const missing = [cc, cxx].filter((tool) => !isOnPath(tool));
  if (missing.length > 0) fail(missingCompiler(pathOf(ADDONS[0]), missing));

  const { defines, cflags, cflags_c: cFlags, cflags_cc: cxxFlags, ldflags } = flags;
  const headers = headerFolders();
  const common = [
    ...BUILD_FLAGS,
    ...defines.map((name) => `-D${name}`),
    `-DRIMON_SOURCE_HASH="${nativeSourceHash(root)}"`,
    `-DRIMON_COMPILER="${compilerOf(cxx)}"`,
    ...headers.map(([name, folder]) => `-ffile-prefix-map=${folder}=${name}`),
    ...cflags,
  ];
  // What binding.gyp asks node for is where the headers are.
  const fixedCxxFlags = cxxFlags.filter((flag) => flag !== "-isystem" && !flag.startsWith("<!"));
  const includes = headers.flatMap(([, folder]) => ["-isystem", folder]);
  const objectOf = (source) => join(objects, `${basename(source)}.o`);
  mkdirSync(join(root, objects), { recursive: true });
  await timed(targets.map(({ target_name: addon }) => shown(pathOf(addon))).join(" and "), async () => {
    await inParallel([...new Set(targets.flatMap(({ sources }) => sources))], async (source) => {
      const isC = source.endsWith(".c");
      await run(isC ? cc : cxx, [
        ...common,
        ...(isC ? cFlags : [...fixedCxxFlags, ...includes]),
        "-c",
        source,
        "-o",
        objectOf(source),
      ]);
    });
    await inParallel(targets, async ({ target_name: addon, sources }) => {
      const made = pathOf(addon);
      mkdirSync(dirname(made), { recursive: true });
      // A running rimon keeps the file it has mapped: the new one takes its name, not its place.
      await run(cxx, ["-shared", "-o", `${made}.new`, ...sources.map(objectOf), ...ldflags, ...link]);
      chmodSync(`${made}.new`, 0o755);
      renameSync(`${made}.new`, made);
    });
  });
}

/** True if that addon was made from native/ as it is now. */
function isCurrent(path) {
  return madeFrom(path)?.source === nativeSourceHash(root);
}

function missingCompiler(made, tools) {
  const names = tools.map((tool) => basename(tool));
  const packages = names.map((name) =>
    name.replace(/^(.+)-(gcc|g\+\+)$/, (_, triplet, tool) => `${tool}-${triplet.replace("_", "-")}`),
  );
  const prebuilt = prebuiltPath(root, process.arch);
  const isOld = made !== prebuilt && existsSync(prebuilt) && !isCurrent(prebuilt);
  const why = isOld ? `${shown(prebuilt)} is not from the present native/, and ` : "";
  return `${why}there is no ${names.join(" and no ")} to compile ${shown(made)} with; on Debian or Ubuntu: apt-get install ${packages.join(" ")}`;
}

/** The name and folder of each package of headers, of the version that this source is compiled with. */
function headerFolders() {
  return Object.entries(headerVersions(root)).map(([name, version]) => {
    let found;
    try {
      found = require.resolve(`${name}/package.json`);
    } catch {
      fail(`the addon needs the headers of ${name}; run: npm install --no-save ${name}@${version}`);
    }
    const installed = require(found).version;
    if (installed !== version)
      fail(`the addon needs the headers of ${name} ${version}, found ${installed}; run: npm ci`);
    const folder = dirname(found);
    return [name, name === "node-api-headers" ? join(folder, "include") : folder];
  });
}

/** The compiler and the linker, as they call themselves. */
function compilerOf(cxx) {
  const firstLine = (tool) => execFileSync(tool, ["--version"], { encoding: "utf8" }).split("\n", 1)[0];
  const linker = execFileSync(cxx, ["-print-prog-name=ld"], { encoding: "utf8" }).trim();
  return `${firstLine(cxx).replace(/^\S*g\+\+/, "g++")}, ${firstLine(linker)}`;
}

function shown(path) {
  return relative(root, path);
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

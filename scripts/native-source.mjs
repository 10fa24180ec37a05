// What the addons are made from, as one hash. The build writes it into every addon, with the compiler's name; here it is
// read back without loading the addon, which may be for another machine.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** What the build adds to binding.gyp's flags, as node-gyp has its own. */
export const BUILD_FLAGS = ["-fPIC", "-DNODE_GYP_MODULE_NAME=rimon"];

/** The npm packages the addon's headers come from; package.json says which version of each. */
export const HEADER_PACKAGES = ["node-addon-api", "node-api-headers"];

/**
 * What ships, as Node names them, the prefix of the compilers that make it, and what the linker is told. On arm64 it
 * writes around an erratum of the Cortex-A53: with ADR, which reaches all of an addon, instead of pages of stubs.
 */
export const PREBUILT = [
  { arch: "x64", prefix: "x86_64-linux-gnu-", link: ["-s"] },
  { arch: "arm64", prefix: "aarch64-linux-gnu-", link: ["-s", "-Wl,--fix-cortex-a53-843419=adr"] },
];

/** The addons, the monitor's own first. Each other lies in a folder of its name beside it, where node-gyp-build does not look. */
export const ADDONS = ["rimon", "files", "drill"];

/**
 * The prebuilt addon for an architecture, there or not. "glibc" lets node-gyp-build pass over it where musl is.
 * @param {string} root
 * @param {string} arch
 * @param {string} [addon]
 */
export function prebuiltPath(root, arch, addon = ADDONS[0]) {
  return besideRimon(join(root, "prebuilds", `linux-${arch}`), addon, `${addon}.glibc.node`);
}

/**
 * The addon that is built here.
 * @param {string} root
 * @param {string} [addon]
 */
export function builtPath(root, addon = ADDONS[0]) {
  return besideRimon(join(root, "build", "Release"), addon, `${addon}.node`);
}

/**
 * What binding.gyp says: the one list of what is compiled, and how.
 * @param {string} root
 */
export function binding(root) {
  const text = readFileSync(join(root, "binding.gyp"), "utf8").replaceAll("<(module_root_dir)/", "");
  const { target_defaults: flags, conditions } = JSON.parse(text);
  /** @type {{ target_name: string, sources: string[] }[]} */
  const targets = conditions[0][1].targets;
  return { flags, targets };
}

/**
 * The version of each header package that this source is compiled with.
 * @param {string} root
 * @returns {Record<string, string>}
 */
export function headerVersions(root) {
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return Object.fromEntries(HEADER_PACKAGES.map((name) => [name, devDependencies[name]]));
}

/**
 * SHA-256 over everything the addons are made from: the sources, every header under native/, flags, header versions.
 * @param {string} root
 * @returns {string}
 */
export function nativeSourceHash(root) {
  const headers = readdirSync(join(root, "native"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".h"))
    .map((name) => `native/${name}`);
  const sources = new Set(binding(root).targets.flatMap((target) => target.sources));
  const contents = [...sources, ...headers, "native/exports.map", "binding.gyp"]
    .toSorted()
    .map((name) => [name, sha256(readFileSync(join(root, name)))]);
  return sha256(JSON.stringify([contents, BUILD_FLAGS, headerVersions(root)]));
}

/**
 * What an addon says of itself in its section .rimon; undefined if it is not there or says nothing.
 * @param {string} path
 * @returns {{ source: string, compiler: string } | undefined}
 */
export function madeFrom(path) {
  if (!existsSync(path)) return undefined;
  const said = /rimon, source sha256:([0-9a-f]{64})\0compiler ([^\0]+)\0/.exec(readFileSync(path, "latin1"));
  return said === null ? undefined : { source: said[1], compiler: said[2] };
}

/**
 * @param {string} folder
 * @param {string} addon
 * @param {string} file
 */
function besideRimon(folder, addon, file) {
  return addon === ADDONS[0] ? join(folder, file) : join(folder, addon, file);
}

/** @param {string | Buffer} data */
function sha256(data) {
  return createHash("sha256").update(data).digest("hex");
}

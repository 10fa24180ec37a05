// Compiles native/bpf/*.bpf.c to the loader headers beside them, which are kept in git so that building rimon needs
// neither clang nor bpftool:  npm run bpf    (Debian: apt-get install clang llvm bpftool libbpf-dev)
//   npm run bpf -- --check     fails if a header is not from its source

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { arch, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";

const folder = fileURLToPath(new URL("../native/bpf", import.meta.url));
const INCLUDES = { x64: "/usr/include/x86_64-linux-gnu", arm64: "/usr/include/aarch64-linux-gnu" };
const check = process.argv.includes("--check");

const sources = readdirSync(folder)
  .filter((name) => name.endsWith(".bpf.c"))
  .sort();
const outdated = sources.filter((name) => (check ? !isCurrent(name) : (generate(name), false)));
if (outdated.length > 0) fail(`${outdated.join(", ")}: changed after its loader was generated; run: npm run bpf`);

function generate(source) {
  const name = basename(source, ".bpf.c");
  const scratch = mkdtempSync(join(tmpdir(), "rimon-bpf-"));
  try {
    const object = join(scratch, `${name}.o`);
    const flags = [
      "-O2",
      "-g",
      "-target",
      "bpf",
      "-mcpu=v3",
      "-Wall",
      "-Werror",
      "-I",
      INCLUDES[arch()] ?? "/usr/include",
    ];
    // Where the checkout lies must not be in what it makes; and of a folder that is not there no source lines are.
    run("clang", [...flags, "-fdebug-compilation-dir=/rimon", "-c", source, "-o", object]);
    writeFileSync(object, withoutLines(readFileSync(object)));
    const header = run("bpftool", ["gen", "skeleton", "-L", object, "name", `${name}_bpf`]);
    // Ours, not that of a libbpf that may be installed where it is built.
    const { text, bytes } = packed(header.replace("<bpf/skel_internal.h>", '"skel_internal.h"'));
    writeFileSync(loaderOf(source), `/* Of source ${hashOf(source)}. */\n${text}`);
    console.log(`${source}: ${(bytes / 1024).toFixed(1)} KiB of loader`);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** The loader program and its data as skel_unpack() of skeleton.c reads them. */
function packed(header) {
  let bytes = 0;
  const text = header.replaceAll(/(opts\.(data|insns) = \(void \*\)")([^"]*)"/g, (_, head, what, literal) => {
    const raw = [...literal.matchAll(/\\(?:0|x([0-9a-f]{2}))/g)].map(([, hex]) =>
      hex === undefined ? 0 : parseInt(hex, 16),
    );
    const short = [...deflateRawSync(Uint8Array.from(raw), { level: 9, memLevel: 9 })];
    bytes += short.length;
    const escaped = short.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`);
    const lines = Array.from({ length: Math.ceil(escaped.length / 28) }, (_, line) =>
      escaped.slice(line * 28, line * 28 + 28).join(""),
    );
    return `opts.${what}_packed = ${short.length};\n\t${head}\\\n${lines.join("\\\n")}"`;
  });
  return { text, bytes };
}

/** Source lines are for the verifier's log, and would be half of every loader. linux: tools/lib/bpf/libbpf_internal.h */
function withoutLines(object) {
  const MAGIC = 0xeb9f;
  const LINE_INFO_LENGTH = 20;
  for (const { name, offset } of sectionsOf(object)) {
    if (name !== ".BTF.ext") continue;
    if (object.readUInt16LE(offset) !== MAGIC) fail("the compiler wrote a .BTF.ext of another format");
    object.writeUInt32LE(0, offset + LINE_INFO_LENGTH);
  }
  return object;
}

/** Of a 64-bit little-endian ELF file (elf(5)). */
function sectionsOf(object) {
  const table = Number(object.readBigUInt64LE(0x28));
  const [entry, count, names] = [0x3a, 0x3c, 0x3e].map((at) => object.readUInt16LE(at));
  const heads = Array.from({ length: count }, (_, index) => table + index * entry);
  const offsetOf = (head) => Number(object.readBigUInt64LE(head + 0x18));
  const strings = offsetOf(heads[names]);
  return heads.map((head) => {
    const start = strings + object.readUInt32LE(head);
    return { name: object.toString("latin1", start, object.indexOf(0, start)), offset: offsetOf(head) };
  });
}

function isCurrent(source) {
  try {
    return readFileSync(loaderOf(source), "latin1").startsWith(`/* Of source ${hashOf(source)}. */`);
  } catch {
    return false;
  }
}

/** Of the program and of every header beside it that it includes, or that those do. */
function hashOf(source) {
  const hash = createHash("sha256");
  const names = new Set([source]);
  for (const name of names) {
    const text = readFileSync(join(folder, name), "utf8");
    for (const [, included] of text.matchAll(/^#include "(.+)"$/gm)) names.add(join(dirname(name), included));
    hash.update(text);
  }
  return hash.digest("hex");
}

function loaderOf(source) {
  return join(folder, source.replace(/\.bpf\.c$/, ".lskel.h"));
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: folder,
    encoding: "latin1",
    maxBuffer: 64 << 20,
  });
  if (error !== undefined)
    fail(`${command} could not be started (${error.message}); apt-get install clang llvm bpftool libbpf-dev`);
  if (status !== 0) fail(`${command} ended with ${status}\n${stderr}`);
  return stdout;
}

function fail(message) {
  console.error(`bpf: ${message}`);
  process.exit(1);
}

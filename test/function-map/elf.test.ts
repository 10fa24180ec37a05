// The reader against readelf (binutils) on the programs and libraries of this machine.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readDynamicView, type ReadAt } from "../../src/function-map/elf.ts";

const REACHING = ["ptrace", "process_vm_readv", "process_vm_writev"];

function reader(bytes: Buffer): { read: ReadAt; readonly total: () => number } {
  let total = 0;
  return {
    read: async (position, length) => {
      total += length;
      return bytes.subarray(position, position + length);
    },
    total: () => total,
  };
}

function readelf(...args: string[]): string {
  return execFileSync("readelf", ["--wide", ...args], { encoding: "utf8", maxBuffer: 1 << 28, stdio: "pipe" });
}

/** Names of undefined symbols of .dynsym, without their versions. */
function importsByReadelf(path: string): string[] {
  const names = readelf("--dyn-syms", path)
    .split("\n")
    .flatMap((line) => /\sUND\s+(\S+?)(?:@\S+)?(?:\s\(\d+\))?$/.exec(line)?.[1] ?? []);
  return [...new Set(names)].toSorted();
}

function neededByReadelf(path: string): string[] {
  return readelf("--dynamic", path)
    .split("\n")
    .flatMap((line) => /\(NEEDED\).*\[(.*)\]/.exec(line)?.[1] ?? []);
}

function elfFiles(folder: string, pattern: RegExp, count: number): string[] {
  const paths = new Set<string>();
  const names = readdirSync(folder).filter((name) => pattern.test(name));
  // Spread over the alphabet, not the first few of one package.
  const step = Math.max(1, Math.floor(names.length / (count * 2)));
  for (let index = 0; index < names.length && paths.size < count; index += step) {
    const path = realpathSync(join(folder, names[index]!));
    const bytes = statSync(path).isFile() ? readFileSync(path).subarray(0, 4) : Buffer.alloc(0);
    if (bytes.toString("latin1") === "\u007fELF") paths.add(path);
  }
  return [...paths];
}

const libraries = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
const FILES = [
  "/usr/bin/gdb",
  "/usr/bin/strace",
  process.execPath,
  ...elfFiles("/usr/bin", /./, 25),
  ...elfFiles(libraries, /\.so(\.\d+)+$/, 12),
];

describe("agrees with readelf", () => {
  it("on thirty files and more", () => assert.ok(FILES.length >= 30, FILES.join(" ")));

  for (const path of new Set(FILES)) {
    it(path, async () => {
      const { read } = reader(readFileSync(path));
      const view = await readDynamicView(read);
      assert.ok(view, "it is an ELF file");
      const imports = new Set(view.imports);
      const expected = importsByReadelf(path);
      assert.deepEqual(
        REACHING.filter((name) => imports.has(name)),
        REACHING.filter((name) => expected.includes(name)),
      );
      assert.deepEqual([...imports].toSorted(), expected);
      const few = await readDynamicView(read, REACHING);
      assert.deepEqual(few, { ...view, imports: view.imports.filter((name) => REACHING.includes(name)) });
      assert.deepEqual((await readDynamicView(read, ["no_such_function"]))?.imports, []);
      assert.deepEqual(view.needed, neededByReadelf(path));
      assert.equal(view.dynamic, readelf("--program-headers", path).includes("INTERP"));
    });
  }
});

it("costs a few reads, not the file", async () => {
  const bytes = readFileSync(process.execPath);
  const { read, total } = reader(bytes);
  await readDynamicView(read);
  assert.ok(total() < bytes.length / 4, `${total()} of ${bytes.length} bytes were read`);
});

describe("what is no 64-bit little-endian ELF file gives undefined", () => {
  const elf = readFileSync("/usr/bin/strace").subarray(0, 64);
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(elf);
    copy[at] = value;
    return copy;
  };
  for (const [what, bytes] of [
    ["nothing", Buffer.alloc(0)],
    ["a script", Buffer.from("#!/bin/sh\n".padEnd(100))],
    ["a header cut short", elf.subarray(0, 63)],
    ["32 bits", changed(4, 1)],
    ["big-endian", changed(5, 2)],
    ["no program header", changed(56, 0)],
    ["program headers smaller than they can be", changed(54, 55)],
  ] as const) {
    it(what, async () => assert.equal(await readDynamicView(reader(bytes).read), undefined));
  }
});

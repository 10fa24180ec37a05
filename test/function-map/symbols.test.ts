// Places in code against nm and readelf (binutils) on the programs and libraries of this machine, and on small files
// made for the purpose.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isRelocated, isWrittenByProgram, readCodeFile, type CodeFile } from "../../src/function-map/code-file.ts";
import type { ReadAt } from "../../src/function-map/elf.ts";
import { MAX_PLACES, readPlaces, type Place } from "../../src/function-map/symbols.ts";
import { requireAddon } from "../../src/native.ts";
import { compile } from "../fixtures/compile.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const readerOf =
  (bytes: Buffer): ReadAt =>
  async (position, length) =>
    bytes.subarray(position, position + length);

async function codeFileOf(path: string): Promise<{ code: CodeFile; read: ReadAt }> {
  const read = readerOf(readFileSync(path));
  const code = await readCodeFile(read);
  assert.ok(code, `${path} is an ELF file`);
  return { code, read };
}

async function placesOf(path: string, offsets: readonly number[]): Promise<ReadonlyMap<number, Place>> {
  const { code, read } = await codeFileOf(path);
  return readPlaces(code, read, offsets);
}

interface NamedFunction {
  readonly name: string;
  readonly address: number;
  readonly size: number;
}

/** Defined functions by readelf, whichever table they stand in. */
function functionsByReadelf(path: string): NamedFunction[] {
  const text = run("readelf", ["--wide", "--syms", path]);
  return [
    ...text.matchAll(/^\s*\d+:\s+([0-9a-f]+)\s+(\d+|0x[0-9a-f]+)\s+(?:FUNC|IFUNC)\s+\w+\s+\w+\s+\d+\s+(\S+)/gm),
  ].map(([, address = "", size = "", name = ""]) => ({
    name: name.replace(/@.*/, ""),
    address: parseInt(address, 16),
    size: Number(size),
  }));
}

/** Where an address lies in the file, by readelf's program headers. */
function offsetByReadelf(path: string): (address: number) => number {
  const loads = [
    ...run("readelf", ["--wide", "--program-headers", path]).matchAll(
      /^\s+LOAD\s+(0x[0-9a-f]+)\s+(0x[0-9a-f]+)\s+0x[0-9a-f]+\s+(0x[0-9a-f]+)/gm,
    ),
  ].map(([, offset, address, size]) => ({ offset: Number(offset), address: Number(address), size: Number(size) }));
  return (address) => {
    const load = loads.find((each) => address >= each.address && address < each.address + each.size);
    assert.ok(load, `${address.toString(16)} is loaded`);
    return address - load.address + load.offset;
  };
}

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28, stdio: "pipe" });
}

const libraries = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
const FILES = [
  requireAddon().path,
  process.execPath,
  "/usr/bin/gdb",
  realpathSync(join(libraries, "libc.so.6")),
  realpathSync(join(libraries, "libcrypto.so.3")),
  realpathSync(join(libraries, "libm.so.6")),
  compile("target"),
];

describe("agrees with readelf about functions", () => {
  for (const path of FILES) {
    it(path, async () => {
      const functions = functionsByReadelf(path).filter(({ size }) => size > 0);
      if (path === "/usr/bin/gdb") return assert.ok(functions.length >= 0);
      assert.ok(functions.length > 0);
      const step = Math.max(1, Math.floor(functions.length / MAX_PLACES));
      const some = functions.filter((_, index) => index % step === 0).slice(0, MAX_PLACES);
      const offsetOf = offsetByReadelf(path);
      const ends = some.map(({ address, size }) => ({
        address: address + size - 1,
        offset: offsetOf(address + size - 1),
      }));
      const places = await placesOf(
        path,
        ends.map(({ offset }) => offset),
      );
      for (const { address, offset } of ends) {
        const place = places.get(offset);
        assert.ok(place, `${offset} is in a function`);
        // Of those that reach there one that begins last, whichever of its names.
        const reaching = functions.filter((each) => each.address <= address && address < each.address + each.size);
        const begins = Math.max(...reaching.map((each) => each.address));
        assert.equal(place.offset, address - begins);
        const names = reaching.filter((each) => each.address === begins).map(({ name }) => name);
        assert.ok(names.includes(place.name), `${place.name} is one of ${names.join(", ")}`);
      }
    });
  }
});

it("prefers the name that others call a function by", async () => {
  const path = realpathSync(join(libraries, "libc.so.6"));
  const write = functionsByReadelf(path).find(({ name }) => name === "write");
  assert.ok(write);
  const offset = offsetByReadelf(path)(write.address) + 4;
  assert.deepEqual((await placesOf(path, [offset])).get(offset), { name: "write", offset: 4 });
});

describe("a stripped file", () => {
  const folder = temporaryDirectory("stripped");
  const original = compile("target");
  const main = functionsByReadelf(original).find(({ name }) => name === "main");
  assert.ok(main);
  const offset = offsetByReadelf(original)(main.address);
  const text = /\.text\s+PROGBITS\s+[0-9a-f]+\s+([0-9a-f]+)/.exec(run("readelf", ["--wide", "--sections", original]));
  const inText = offset - parseInt(text?.[1] ?? "", 16);

  it("has a function before", async () =>
    assert.deepEqual((await placesOf(original, [offset])).get(offset), { name: "main", offset: 0 }));

  it("has a section", async () => {
    const stripped = join(folder, "stripped");
    run("strip", ["-o", stripped, original]);
    assert.deepEqual((await placesOf(stripped, [offset])).get(offset), { name: ".text", offset: inText });
  });

  it("has nothing without section headers", async () => {
    const bare = readFileSync(original);
    bare.fill(0, 40, 48); // e_shoff
    bare.fill(0, 58, 64); // e_shentsize, e_shnum, e_shstrndx
    const path = join(folder, "bare");
    writeFileSync(path, bare);
    const { code } = await codeFileOf(path);
    assert.equal(code.machine, process.arch === "arm64" ? "arm64" : "x86-64");
    assert.deepEqual([...(await placesOf(path, [offset]))], []);
  });
});

/** Links an assembly file into a shared library, of 32 bits if asked. */
function assemble(source: string, bits: 32 | 64, linking: readonly string[]): string {
  const folder = temporaryDirectory("assembled");
  const path = join(folder, "code.so");
  writeFileSync(join(folder, "code.s"), source);
  run("as", [`--${bits}`, "-o", join(folder, "code.o"), join(folder, "code.s")]);
  run("ld", ["-m", bits === 32 ? "elf_i386" : "elf_x86_64", "-shared", ...linking, "-o", path, join(folder, "code.o")]);
  return path;
}

const onX86 = { skip: process.arch === "x64" ? false : "assembles x86 code" };

describe("what is written into code by those who may", onX86, () => {
  const source = (flags: string): string => `
    .globl first, second
    .section .text${flags}
    .type first, @function
  first: nop; nop; nop; nop; ret
    .size first, . - first
    .p2align 4
    .type second, @function
  second: ret
  table: .LONG second, 1, 2
    .size second, . - second
  `;
  const sourceOf = (bits: 32 | 64, flags = ""): string =>
    source(flags).replace(".LONG", bits === 32 ? ".long" : ".quad");

  for (const bits of [32, 64] as const) {
    const word = bits / 8;
    it(`${bits} bits: a text relocation covers its word and nothing else`, async () => {
      const path = assemble(sourceOf(bits), bits, ["-z", "notext"]);
      const { code, read } = await codeFileOf(path);
      assert.equal(code.machine, bits === 32 ? "x86" : "x86-64");
      const [table = -1, ...others] = code.relocated;
      assert.deepEqual(others, []);
      const at = (offset: number, found: string, expected: string, length = found.length / 2) => ({ offset, found, expected, length }); // prettier-ignore
      assert.equal(isRelocated(code, at(table, "1122", "0000")), true);
      assert.equal(isRelocated(code, at(table + word - 1, "11", "00")), true);
      assert.equal(isRelocated(code, at(table + word - 1, "1100", "0000")), true, "equal bytes need no relocation");
      assert.equal(isRelocated(code, at(table + word - 1, "1111", "0000")), false);
      assert.equal(isRelocated(code, at(table - 1, "cc", "c3")), false);
      assert.equal(isRelocated(code, at(table, "11".repeat(32), "00".repeat(32), 64)), false);
      const places = await readPlaces(code, read, [table, table - 1]);
      assert.deepEqual([places.get(table), places.get(table - 1)], [{ name: "second", offset: 1 }, { name: "second", offset: 0 }]); // prettier-ignore
    });
  }

  it("no text relocation, nothing relocated", async () => {
    const { code } = await codeFileOf(compile("evil", { shared: true }));
    assert.deepEqual(code.relocated, []);
    assert.equal(isRelocated(code, { offset: 0, length: 1, found: "11", expected: "00" }), false);
  });

  it("a segment that is linked to be writable and executable is the program's", async () => {
    const { code } = await codeFileOf(assemble(sourceOf(64, ', "awx"'), 64, ["--omagic", "-z", "notext"]));
    const segment = code.segments.find(({ executable }) => executable);
    assert.ok(segment?.writable);
    const page = { offset: segment.offset - (segment.offset % 4096), size: 4096 };
    assert.equal(isWrittenByProgram(code, page, true), true);
    assert.equal(isWrittenByProgram(code, page, false), true);
  });
});

it("code is not the program's to write, data is, and of a page that is both it is told by the mapping", async () => {
  const { code } = await codeFileOf(compile("target"));
  const text = code.segments.find(({ executable }) => executable);
  const data = code.segments.find(({ writable }) => writable);
  assert.ok(text && data && !text.writable && !data.executable);
  const pageOf = (offset: number) => ({ offset: offset - (offset % 4096), size: 4096 });
  for (const mappedWritable of [true, false]) {
    assert.equal(isWrittenByProgram(code, pageOf(text.offset), mappedWritable), false);
    assert.equal(isWrittenByProgram(code, pageOf(data.offset), mappedWritable), true);
    assert.equal(isWrittenByProgram(code, { offset: 1 << 30, size: 4096 }, mappedWritable), false);
    const shared: CodeFile = { ...code, segments: [text, { ...data, offset: text.offset + text.fileSize }] };
    assert.equal(isWrittenByProgram(shared, pageOf(text.offset + text.fileSize - 1), mappedWritable), mappedWritable);
  }
});

it("what is no little-endian ELF file gives undefined", async () => {
  const elf = readFileSync(compile("target")).subarray(0, 64);
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(elf);
    copy[at] = value;
    return copy;
  };
  for (const bytes of [
    Buffer.alloc(0),
    elf.subarray(0, 63),
    changed(0, 0),
    changed(4, 3),
    changed(5, 2),
    changed(56, 0),
  ])
    assert.equal(await readCodeFile(readerOf(bytes)), undefined);
});

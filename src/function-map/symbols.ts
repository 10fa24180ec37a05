// Whose code lies at an offset of an ELF file: which function's by .symtab and .dynsym, or else which section's.

import type { ReadAt } from "./elf.ts";
import { chunksOf, readSafely, wordAt, type CodeFile, type Layout, type Section } from "./code-file.ts";

export interface Place {
  /** Of the function, or of the section if no function is known. */
  readonly name: string;
  /** How far behind its beginning. */
  readonly offset: number;
}

interface Found {
  readonly nameAt: number;
  readonly strings: Section;
  readonly value: number;
  readonly sized: boolean;
  readonly global: boolean;
}

/** How many places are looked for at once; more are not named. */
export const MAX_PLACES = 32;

const MAX_NAME = 512;
const MAX_CODE_SECTIONS = 64;
const MAX_NAMESAKES = 8;
const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const SHT_DYNSYM = 11;
const STT_NOTYPE = 0;
const STT_FUNC = 2;
const STT_GNU_IFUNC = 10;

/** The function or section of each offset in the file, as far as there is one. */
export async function readPlaces(
  file: CodeFile,
  read: ReadAt,
  offsets: readonly number[],
): Promise<ReadonlyMap<number, Place>> {
  const wanted = new Map<number, number>();
  for (const offset of offsets.slice(0, MAX_PLACES)) {
    const address = addressOf(file, offset);
    if (address !== undefined) wanted.set(offset, address);
  }
  const functions = await findFunctions(
    file,
    read,
    [...new Set(wanted.values())].toSorted((a, b) => a - b),
  );
  const places = new Map<number, Place>();
  for (const [offset, address] of wanted) {
    const place = (await nameFunction(read, functions.get(address), address)) ?? (await sectionOf(file, read, offset));
    if (place !== undefined) places.set(offset, place);
  }
  return places;
}

/** Per address the symbols that begin nearest before it, of functions that reach to it. */
async function findFunctions(
  { layout, sections }: CodeFile,
  read: ReadAt,
  addresses: readonly number[],
): Promise<ReadonlyMap<number, readonly Found[]>> {
  const found = new Map<number, Found[]>();
  for (const type of [SHT_DYNSYM, SHT_SYMTAB]) {
    const table = sections.find((section) => section.type === type);
    const strings = table === undefined ? undefined : sections[table.link];
    if (table === undefined || strings === undefined || addresses.length === 0) continue;
    const { symbol } = layout;
    const code = sections.filter(({ executable }) => executable).slice(0, MAX_CODE_SECTIONS);
    for await (const chunk of chunksOf(read, table.offset, table.size, symbol.size)) {
      for (const from of reaching(chunk, layout, addresses)) {
        const info = chunk[from + symbol.info] ?? 0;
        const kind = info & 15;
        const global = info >> 4 !== 0;
        const isCode = kind === STT_FUNC || kind === STT_GNU_IFUNC || (kind === STT_NOTYPE && global);
        if (!isCode || chunk.readUInt16LE(from + symbol.section) === 0) continue;
        const value = wordAt(chunk, from + symbol.value, layout);
        const size = wordAt(chunk, from + symbol.length, layout);
        // One without a size reaches to the end of its section at most.
        const end = size > 0 ? value + size : endOfSection(code, value);
        for (const address of addresses) {
          if (address < value || address >= end) continue;
          addNearest(found, address, { nameAt: chunk.readUInt32LE(from), strings, value, sized: size > 0, global });
        }
      }
    }
  }
  return found;
}

/**
 * Where the symbols of a table stand that may reach to one of the addresses, which ascend: of the 190,000 of a program
 * like node only some hundred, so that the loop over all of them does no more than compare.
 */
function reaching(table: Buffer, { word, symbol }: Layout, addresses: readonly number[]): readonly number[] {
  const [lowest = 0] = addresses;
  const highest = addresses.at(-1) ?? 0;
  const words = wordsOf(table);
  const [each, value, length] = [symbol.size / 4, symbol.value / 4, symbol.length / 4];
  const high = word === 8 ? 0x1_0000_0000 : 0;
  const found: number[] = [];
  for (let at = 0; at + each <= words.length; at += each) {
    // What lies behind a word of 32 bits is another field, which then counts for nothing.
    const begin = (words[at + value] ?? 0) + (words[at + value + 1] ?? 0) * high;
    if (begin > highest) continue;
    const size = (words[at + length] ?? 0) + (words[at + length + 1] ?? 0) * high;
    if (size === 0 || begin + size > lowest) found.push(at * 4);
  }
  return found;
}

/** Little-endian, as both the file and the machines that rimon runs on are. */
function wordsOf(bytes: Buffer): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 2);
}

function addNearest(found: Map<number, Found[]>, address: number, symbol: Found): void {
  const known = found.get(address);
  const [first] = known ?? [];
  if (known === undefined || first === undefined) return void found.set(address, [symbol]);
  if (first.sized !== symbol.sized) {
    if (symbol.sized) found.set(address, [symbol]);
  } else if (symbol.value > first.value) found.set(address, [symbol]);
  else if (symbol.value === first.value && known.length < MAX_NAMESAKES) known.push(symbol);
}

/** Of several names the one that others call it by. */
async function nameFunction(
  read: ReadAt,
  symbols: readonly Found[] | undefined,
  address: number,
): Promise<Place | undefined> {
  const names: { readonly name: string; readonly global: boolean }[] = [];
  for (const { nameAt, strings, global } of symbols ?? []) {
    const name = nameAt < strings.size ? await readName(read, strings.offset + nameAt) : "";
    if (name !== "") names.push({ name, global });
  }
  const underscores = (name: string): number => /^_*/.exec(name)?.[0].length ?? 0;
  const [best] = names.toSorted(
    (a, b) =>
      Number(b.global) - Number(a.global) ||
      underscores(a.name) - underscores(b.name) ||
      a.name.length - b.name.length ||
      (a.name < b.name ? -1 : 1),
  );
  const value = symbols?.[0]?.value;
  return best === undefined || value === undefined ? undefined : { name: best.name, offset: address - value };
}

async function sectionOf(
  { sections, sectionNamesAt }: CodeFile,
  read: ReadAt,
  offset: number,
): Promise<Place | undefined> {
  const section = sections.find(
    (each) => each.executable && each.type !== SHT_NOBITS && offset >= each.offset && offset < each.offset + each.size,
  );
  if (section === undefined || sectionNamesAt === undefined) return undefined;
  const name = await readName(read, sectionNamesAt + section.nameAt);
  return name === "" ? undefined : { name, offset: offset - section.offset };
}

function endOfSection(sections: readonly Section[], address: number): number {
  const section = sections.find((each) => address >= each.address && address < each.address + each.size);
  return section === undefined ? 0 : section.address + section.size;
}

/** Where an offset of the file is meant to be loaded. */
function addressOf({ segments }: CodeFile, offset: number): number | undefined {
  const segment = segments.find(
    (each) => each.executable && offset >= each.offset && offset < each.offset + each.fileSize,
  );
  return segment === undefined ? undefined : segment.address + (offset - segment.offset);
}

async function readName(read: ReadAt, at: number): Promise<string> {
  const bytes = await readSafely(read, at, MAX_NAME);
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end === -1 ? bytes.length : end);
}

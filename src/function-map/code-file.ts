// An ELF file as the code in it is compared: what of it is loaded where, which instructions it holds, and what of its
// code the loader or the program itself is meant to write. Takes bytes through a reader; anything malformed gives less,
// never an exception. Long tables are read piece by piece.

import type { Machine } from "../observation.ts";
import type { ReadAt } from "./elf.ts";

export interface CodeFile {
  readonly machine: Machine | undefined;
  readonly layout: Layout;
  /** What is loaded (PT_LOAD). */
  readonly segments: readonly Segment[];
  readonly sections: readonly Section[];
  /** Where the names of the sections lie. */
  readonly sectionNamesAt: number | undefined;
  /** Where the loader writes into code (DT_TEXTREL), in the file, ascending. */
  readonly relocated: readonly number[];
}

interface Segment {
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly writable: boolean;
  readonly executable: boolean;
}

export interface Section {
  readonly nameAt: number;
  readonly type: number;
  readonly executable: boolean;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

const MACHINES: ReadonlyMap<number, Machine> = new Map([
  [3, "x86"],
  [62, "x86-64"],
  [183, "arm64"],
]);
const CHUNK = 1024 * 1024;
const MAX_TABLE = 32 * CHUNK;
const MAX_SEGMENTS = 128;
const MAX_SECTIONS = 4_096;
const MAX_DYNAMIC = 64 * 1024;
const MAX_RELOCATIONS = 262_144;
/** The bytes of a run that are known, and how many equal ones may lie between two of a run. */
const KNOWN_BYTES = 32;
const GAP = 3;

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PF_X = 1;
const PF_W = 2;
const SHF_EXECINSTR = 4;
const DT_PLTRELSZ = 2;
const DT_RELA = 7;
const DT_RELASZ = 8;
const DT_REL = 17;
const DT_RELSZ = 18;
const DT_PLTREL = 20;
const DT_TEXTREL = 22;
const DT_JMPREL = 23;
const DT_FLAGS = 30;
const DF_TEXTREL = 4;

/** Where the fields of the two classes lie (System V gABI, chapters 4 and 5). */
export interface Layout {
  readonly word: 4 | 8;
  readonly header: number;
  readonly segmentTable: number;
  readonly sectionTable: number;
  /** e_phentsize; the other sizes and counts follow, two bytes each. */
  readonly sizes: number;
  readonly segment: {
    readonly size: number;
    readonly flags: number;
    readonly offset: number;
    readonly address: number;
    readonly fileSize: number;
  };
  readonly section: {
    readonly size: number;
    readonly address: number;
    readonly offset: number;
    readonly length: number;
    readonly link: number;
  };
  readonly symbol: {
    readonly size: number;
    readonly info: number;
    readonly section: number;
    readonly value: number;
    readonly length: number;
  };
}

const CLASS_32: Layout = {
  word: 4, header: 52, segmentTable: 28, sectionTable: 32, sizes: 42,
  segment: { size: 32, flags: 24, offset: 4, address: 8, fileSize: 16 },
  section: { size: 40, address: 12, offset: 16, length: 20, link: 24 },
  symbol: { size: 16, info: 12, section: 14, value: 4, length: 8 },
}; // prettier-ignore
const CLASS_64: Layout = {
  word: 8, header: 64, segmentTable: 32, sectionTable: 40, sizes: 54,
  segment: { size: 56, flags: 4, offset: 8, address: 16, fileSize: 32 },
  section: { size: 64, address: 16, offset: 24, length: 32, link: 40 },
  symbol: { size: 24, info: 4, section: 6, value: 8, length: 16 },
}; // prettier-ignore

/** Undefined if the bytes are not a little-endian ELF file with program headers. */
export async function readCodeFile(read: ReadAt): Promise<CodeFile | undefined> {
  const header = await read(0, CLASS_64.header);
  if (header.length < CLASS_32.header || header.readUInt32BE(0) !== 0x7f454c46 || header[5] !== 1) return undefined;
  const layout = header[4] === 1 ? CLASS_32 : header[4] === 2 ? CLASS_64 : undefined;
  if (layout === undefined || header.length < layout.header) return undefined;
  const u16 = (at: number): number => header.readUInt16LE(layout.sizes + at);

  const programs: { readonly type: number; readonly segment: Segment }[] = [];
  const segmentTable = wordAt(header, layout.segmentTable, layout);
  for (const entry of await readTable(read, segmentTable, u16(0), u16(2), layout.segment.size, MAX_SEGMENTS)) {
    const flags = entry.readUInt32LE(layout.segment.flags);
    programs.push({
      type: entry.readUInt32LE(0),
      segment: {
        offset: wordAt(entry, layout.segment.offset, layout),
        address: wordAt(entry, layout.segment.address, layout),
        fileSize: wordAt(entry, layout.segment.fileSize, layout),
        writable: (flags & PF_W) !== 0,
        executable: (flags & PF_X) !== 0,
      },
    });
  }
  if (programs.length === 0) return undefined;
  const sections: Section[] = [];
  const sectionTable = wordAt(header, layout.sectionTable, layout);
  for (const entry of await readTable(read, sectionTable, u16(4), u16(6), layout.section.size, MAX_SECTIONS)) {
    sections.push({
      nameAt: entry.readUInt32LE(0),
      type: entry.readUInt32LE(4),
      executable: (entry.readUInt32LE(8) & SHF_EXECINSTR) !== 0,
      address: wordAt(entry, layout.section.address, layout),
      offset: wordAt(entry, layout.section.offset, layout),
      size: wordAt(entry, layout.section.length, layout),
      link: entry.readUInt32LE(layout.section.link),
    });
  }
  const segments = programs.flatMap(({ type, segment }) => (type === PT_LOAD ? [segment] : []));
  const dynamic = programs.find(({ type }) => type === PT_DYNAMIC)?.segment;
  return {
    machine: MACHINES.get(header.readUInt16LE(18)),
    layout,
    segments,
    sections,
    sectionNamesAt: sections[u16(8)]?.offset,
    relocated: dynamic === undefined ? [] : await readTextRelocations(read, layout, segments, dynamic),
  };
}

/**
 * Whether a page is one that the program's own file says it writes: data, or code that is linked to be writable. A
 * page of the file can be mapped twice, as the end of the code and as the beginning of the data.
 */
export function isWrittenByProgram(
  { segments }: CodeFile,
  page: { readonly offset: number; readonly size: number },
  mappedWritable: boolean,
): boolean {
  const { offset, size } = page;
  const covering = segments.filter(
    (each) => Math.floor(each.offset / size) * size <= offset && each.offset + each.fileSize > offset,
  );
  const code = covering.filter(({ executable }) => executable);
  const writable = covering.some((each) => each.writable);
  if (code.length === 0) return writable;
  return code.some((each) => each.writable) || (mappedWritable && writable);
}

/** Whether all that differs is what the loader was told to write there. */
export function isRelocated(
  { relocated, layout }: CodeFile,
  change: { readonly offset: number; readonly length: number; readonly found: string; readonly expected: string },
): boolean {
  if (relocated.length === 0) return false;
  const { found, expected } = change;
  for (let at = 0; at < change.length; at++) {
    if (at < KNOWN_BYTES && found.slice(at * 2, at * 2 + 2) === expected.slice(at * 2, at * 2 + 2)) continue;
    const before = lastUpTo(relocated, change.offset + at);
    // What is not known may be one of the equal bytes behind a relocation.
    const end = before === undefined ? 0 : before + layout.word + (at < KNOWN_BYTES ? 0 : GAP);
    if (change.offset + at >= end) return false;
  }
  return true;
}

async function readTable(
  read: ReadAt,
  at: number,
  entrySize: number,
  count: number,
  least: number,
  most: number,
): Promise<Buffer[]> {
  if (entrySize < least || count > most) return [];
  const table = await readSafely(read, at, entrySize * count);
  const entries: Buffer[] = [];
  for (let from = 0; from + entrySize <= table.length; from += entrySize)
    entries.push(table.subarray(from, from + entrySize));
  return entries;
}

async function readTextRelocations(
  read: ReadAt,
  layout: Layout,
  segments: readonly Segment[],
  dynamic: Segment,
): Promise<readonly number[]> {
  const { word } = layout;
  const entries = await readSafely(read, dynamic.offset, Math.min(dynamic.fileSize, MAX_DYNAMIC));
  const values = new Map<number, number>();
  for (let at = 0; at + 2 * word <= entries.length; at += 2 * word) {
    const tag = wordAt(entries, at, layout);
    if (tag === 0) break;
    values.set(tag, wordAt(entries, at + word, layout));
  }
  const flags = values.get(DT_FLAGS) ?? 0;
  if (!values.has(DT_TEXTREL) && (Math.trunc(flags / DF_TEXTREL) & 1) === 0) return [];
  const tables = [
    { at: values.get(DT_RELA), size: values.get(DT_RELASZ), entry: 3 * word },
    { at: values.get(DT_REL), size: values.get(DT_RELSZ), entry: 2 * word },
    {
      at: values.get(DT_JMPREL),
      size: values.get(DT_PLTRELSZ),
      entry: (values.get(DT_PLTREL) === DT_REL ? 2 : 3) * word,
    },
  ];
  const places: number[] = [];
  for (const { at, size, entry } of tables) {
    const start = at === undefined ? undefined : offsetOf(segments, at);
    if (start === undefined || size === undefined) continue;
    for await (const chunk of chunksOf(read, start, size, entry)) {
      for (let from = 0; from < chunk.length && places.length < MAX_RELOCATIONS; from += entry) {
        const place = offsetOf(segments, wordAt(chunk, from, layout), true);
        if (place !== undefined) places.push(place);
      }
    }
  }
  return places.sort((a, b) => a - b);
}

function offsetOf(segments: readonly Segment[], address: number, executable?: true): number | undefined {
  const segment = segments.find(
    (each) =>
      address >= each.address &&
      address < each.address + each.fileSize &&
      (executable === undefined || each.executable),
  );
  return segment === undefined ? undefined : segment.offset + (address - segment.address);
}

/** The last of an ascending list that is not greater. */
function lastUpTo(ascending: readonly number[], limit: number): number | undefined {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ascending[middle] ?? 0) <= limit) low = middle + 1;
    else high = middle;
  }
  return ascending[low - 1];
}

/** Whole entries of a table, as many at a time as a piece holds. */
export async function* chunksOf(read: ReadAt, start: number, size: number, entrySize: number): AsyncGenerator<Buffer> {
  const end = Math.min(size, MAX_TABLE);
  const step = CHUNK - (CHUNK % entrySize);
  for (let done = 0; done + entrySize <= end; done += step) {
    const asked = Math.min(step, end - done);
    const chunk = await readSafely(read, start + done, asked);
    yield chunk.subarray(0, chunk.length - (chunk.length % entrySize));
    if (chunk.length < asked) return;
  }
}

export async function readSafely(read: ReadAt, at: number, length: number): Promise<Buffer> {
  if (!Number.isSafeInteger(at) || at < 0 || length <= 0) return Buffer.alloc(0);
  return read(at, length);
}

/** An address or a size; of what does not fit into a number only the magnitude is right. */
export function wordAt(bytes: Buffer, at: number, { word }: Layout): number {
  return word === 4 ? bytes.readUInt32LE(at) : bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
}

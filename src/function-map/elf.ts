// What an ELF file imports and needs, read from its dynamic section (System V ABI, gABI chapter 5). Takes bytes through
// a reader, so that a file of any size costs a few reads; anything malformed gives undefined, never an exception.

/** Returns up to `length` bytes at `position`; fewer at the end of the file. */
export type ReadAt = (position: number, length: number) => Promise<Buffer>;

export interface DynamicView {
  /** Names of undefined symbols. */
  readonly imports: readonly string[];
  /** DT_NEEDED. */
  readonly needed: readonly string[];
  /** False for a static program: it has no interpreter. */
  readonly dynamic: boolean;
  /** Where the file has what is loaded to be read only: of most linkers its constants, apart from its code. */
  readonly constants: readonly Range[];
}

export interface Range {
  readonly offset: number;
  readonly size: number;
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const PF_R = 4;
const DT_NEEDED = 1n;
const DT_HASH = 4n;
const DT_STRTAB = 5n;
const DT_SYMTAB = 6n;
const DT_STRSZ = 10n;
const DT_GNU_HASH = 0x6ffffef5n;
const SYMBOL_SIZE = 24;
const MAX_SEGMENTS = 128;
const MAX_DYNAMIC = 64 * 1024;
const MAX_SYMBOLS = 262_144;
const MAX_CHAIN = 64 * 1024;
const MAX_STRINGS = 16 * 1024 * 1024;

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: bigint;
  readonly size: number;
}

/**
 * Undefined if the bytes are not a 64-bit little-endian ELF file. Of the imports only those in `wanted`, if it is given:
 * most files have none of few, which shows before a symbol is read.
 */
export async function readDynamicView(read: ReadAt, wanted?: readonly string[]): Promise<DynamicView | undefined> {
  const header = await read(0, 64);
  if (header.length < 64 || header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1)
    return undefined;
  const segments = await readSegments(header, read);
  if (segments === undefined) return undefined;
  const dynamic = segments.some(({ type }) => type === PT_INTERP);
  const constants = segments.filter(({ type, flags }) => type === PT_LOAD && flags === PF_R);
  const section = segments.find(({ type }) => type === PT_DYNAMIC);
  if (section === undefined) return { imports: [], needed: [], dynamic, constants };

  const entries = await read(section.offset, Math.min(section.size, MAX_DYNAMIC));
  const values = new Map<bigint, bigint>();
  const neededAt: bigint[] = [];
  for (let at = 0; at + 16 <= entries.length; at += 16) {
    const tag = entries.readBigUInt64LE(at);
    const value = entries.readBigUInt64LE(at + 8);
    if (tag === 0n) break;
    if (tag === DT_NEEDED) neededAt.push(value);
    else values.set(tag, value);
  }
  const strings = await readStrings(values, segments, read);
  if (strings === undefined) return { imports: [], needed: [], dynamic, constants };
  const needed = neededAt.map((at) => stringAt(strings, Number(at))).filter((name) => name !== "");
  return { imports: await readImports(values, segments, strings, read, wanted), needed, dynamic, constants };
}

async function readSegments(header: Buffer, read: ReadAt): Promise<Segment[] | undefined> {
  const at = Number(header.readBigUInt64LE(32));
  const entrySize = header.readUInt16LE(54);
  const count = header.readUInt16LE(56);
  if (entrySize < 56 || count === 0 || count > MAX_SEGMENTS || !Number.isSafeInteger(at)) return undefined;
  const table = await read(at, entrySize * count);
  const segments: Segment[] = [];
  for (let index = 0; index < count && (index + 1) * entrySize <= table.length; index++) {
    const base = index * entrySize;
    segments.push({
      type: table.readUInt32LE(base),
      flags: table.readUInt32LE(base + 4),
      offset: Number(table.readBigUInt64LE(base + 8)),
      address: table.readBigUInt64LE(base + 16),
      size: Number(table.readBigUInt64LE(base + 32)),
    });
  }
  return segments;
}

async function readStrings(
  values: ReadonlyMap<bigint, bigint>,
  segments: readonly Segment[],
  read: ReadAt,
): Promise<Buffer | undefined> {
  const at = fileOffset(values.get(DT_STRTAB), segments);
  const size = Number(values.get(DT_STRSZ) ?? 0n);
  if (at === undefined || size === 0) return undefined;
  return read(at, Math.min(size, MAX_STRINGS));
}

async function readImports(
  values: ReadonlyMap<bigint, bigint>,
  segments: readonly Segment[],
  strings: Buffer,
  read: ReadAt,
  wanted?: readonly string[],
): Promise<string[]> {
  if (wanted?.every((name) => !strings.includes(name, 0, "latin1")) === true) return [];
  const initials = wanted?.map((name) => name.charCodeAt(0));
  const at = fileOffset(values.get(DT_SYMTAB), segments);
  const count = await symbolCount(values, segments, read);
  if (at === undefined || count === 0) return [];
  const symbols = await read(at, Math.min(count, MAX_SYMBOLS) * SYMBOL_SIZE);
  const imports: string[] = [];
  for (let base = SYMBOL_SIZE; base + SYMBOL_SIZE <= symbols.length; base += SYMBOL_SIZE) {
    // st_shndx 0 is SHN_UNDEF: the name is looked for elsewhere.
    if (symbols.readUInt16LE(base + 6) !== 0) continue;
    const nameAt = symbols.readUInt32LE(base);
    if (initials?.includes(strings[nameAt] ?? 0) === false) continue;
    const name = stringAt(strings, nameAt);
    if (name !== "" && wanted?.includes(name) !== false) imports.push(name);
  }
  return imports;
}

/** How many symbols there are. No table says so, but the hash tables reach to the last one. */
async function symbolCount(
  values: ReadonlyMap<bigint, bigint>,
  segments: readonly Segment[],
  read: ReadAt,
): Promise<number> {
  const gnu = fileOffset(values.get(DT_GNU_HASH), segments);
  const hashed = gnu === undefined ? undefined : await gnuHashEnd(gnu, read);
  if (hashed !== undefined) return hashed;
  const classic = fileOffset(values.get(DT_HASH), segments);
  if (classic !== undefined) {
    const head = await read(classic, 8);
    return head.length < 8 ? 0 : head.readUInt32LE(4);
  }
  // No count is written anywhere: as in most files, the strings follow the symbols.
  const symbols = values.get(DT_SYMTAB);
  const strings = values.get(DT_STRTAB);
  return symbols === undefined || strings === undefined || strings <= symbols
    ? 0
    : Number((strings - symbols) / BigInt(SYMBOL_SIZE));
}

/**
 * One more than the last symbol of a GNU hash table; undefined if the table is empty. Most undefined symbols stand
 * before the first one that is hashed, but not all: not those whose address the program takes.
 */
async function gnuHashEnd(at: number, read: ReadAt): Promise<number | undefined> {
  const head = await read(at, 16);
  if (head.length < 16) return undefined;
  const bucketCount = head.readUInt32LE(0);
  const firstHashed = head.readUInt32LE(4);
  const bucketsAt = at + 16 + head.readUInt32LE(8) * 8;
  const buckets = await read(bucketsAt, Math.min(bucketCount, MAX_SYMBOLS) * 4);
  let last = 0;
  for (let base = 0; base + 4 <= buckets.length; base += 4) last = Math.max(last, buckets.readUInt32LE(base));
  // An empty table's first symbol says nothing if it is 1, which is what binutils writes.
  if (last === 0 || last < firstHashed) return firstHashed > 1 ? firstHashed : undefined;
  const chain = await read(bucketsAt + bucketCount * 4 + (last - firstHashed) * 4, MAX_CHAIN);
  // The lowest bit marks the end of a chain.
  for (let base = 0; base + 4 <= chain.length && (chain.readUInt32LE(base) & 1) === 0; base += 4) last++;
  return last + 1;
}

function fileOffset(address: bigint | undefined, segments: readonly Segment[]): number | undefined {
  if (address === undefined) return undefined;
  const segment = segments.find(
    ({ type, address: start, size }) =>
      type === PT_LOAD && address >= start && address < start + BigInt(Math.trunc(size)),
  );
  if (segment === undefined) return undefined;
  const at = segment.offset + Number(address - segment.address);
  return Number.isSafeInteger(at) && at >= 0 ? at : undefined;
}

function stringAt(strings: Buffer, at: number): string {
  if (at < 0 || at >= strings.length) return "";
  const end = strings.indexOf(0, at);
  return strings.toString("latin1", at, end === -1 ? strings.length : end);
}

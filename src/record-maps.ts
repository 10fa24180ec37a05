// Reads the records of address spaces: what is mapped, and pages of code that are not their file's any more. Each is
// headed by one that says how many follow.

import type { CodeChange, Mapping } from "./observation.ts";
import type { CodeDifference, CodePagesRecord, CodeTextRecord, MapsRecord } from "./record.ts";
import { nonsense, type RecordReader } from "./record-reader.ts";

const MAPS_UNCHANGED = 0xffff_ffff;

/** Those that follow a head. */
const KIND = { mapping: 9, codePage: 17, codeRun: 18 } as const;

export function readMaps(reader: RecordReader): MapsRecord {
  const head = { kind: "maps", pid: reader.u32(24), startTime: reader.u64(16), digest: reader.bigint(8) } as const;
  const count = reader.u32(28);
  if (count === MAPS_UNCHANGED) return head;
  const mappings: Mapping[] = [];
  while (mappings.length < count) {
    if (!reader.next() || reader.kind !== KIND.mapping) {
      throw nonsense(`${mappings.length} mappings of process ${head.pid} where ${count} were promised`);
    }
    mappings.push(readMapping(reader));
  }
  return { ...head, mappings };
}

function readMapping(reader: RecordReader): Mapping {
  return {
    start: reader.hex(8),
    end: reader.hex(16),
    permissions: permissionsOf(reader.u32(48)),
    offset: reader.u64(24),
    file: { dev: reader.u64(32), inode: reader.u64(40) },
    path: reader.text(reader.u16(52)),
  };
}

function permissionsOf(bits: number): string {
  return `${bits & 1 ? "r" : "-"}${bits & 2 ? "w" : "-"}${bits & 4 ? "x" : "-"}${bits & 8 ? "s" : "p"}`;
}

export function readCodePages(reader: RecordReader): CodePagesRecord {
  const head = {
    kind: "code-pages",
    pid: reader.u32(16),
    startTime: reader.u64(8),
    byPagemap: reader.u32(32) !== 0,
    unread: reader.u32(28),
    readable: reader.u32(36) === 0,
  } as const;
  const size = reader.u32(20);
  const count = reader.u32(24);
  const pages: CodePagesRecord["pages"][number][] = [];
  while (pages.length < count) {
    if (!reader.next() || reader.kind !== KIND.codePage)
      throw nonsense(`${pages.length} pages of code of process ${head.pid} where ${count} were promised`);
    pages.push(readCodePage(reader, size));
  }
  return { ...head, pages };
}

function readCodePage(reader: RecordReader, size: number): CodePagesRecord["pages"][number] {
  const page = {
    page: reader.hex(8),
    size,
    mapping: `${reader.hex(16)}-${reader.hex(24)}`,
    offset: reader.u64(32),
    file: { dev: reader.u64(40), inode: reader.u64(48) },
    permissions: permissionsOf(reader.u32(56)),
    path: reader.text(reader.u16(70)),
  };
  if (reader.u32(60) === 0) return page;
  const differing = reader.u32(64);
  const count = reader.u16(68);
  const inFile = BigInt(page.offset) - BigInt(`0x${page.page}`);
  const changes: CodeChange[] = [];
  while (changes.length < count) {
    if (!reader.next() || reader.kind !== KIND.codeRun)
      throw nonsense(`${changes.length} changes of a page of code where ${count} were promised`);
    changes.push({
      address: reader.hex(8),
      offset: Math.max(0, Number(reader.bigint(8) + inFile)),
      length: reader.u32(16),
      found: reader.bytes(reader.u16(20)).toString("hex"),
      expected: reader.bytes(reader.u16(22)).toString("hex"),
    });
  }
  return { ...page, differing, changes };
}

export function readCodeText(reader: RecordReader): CodeTextRecord {
  const [start, end] = [reader.bigint(8), reader.bigint(16)];
  if (end <= start) throw nonsense(`code from ${start} to ${end}`);
  const [isRead, hasDisk] = [reader.u32(80) === 0, reader.u32(84) === 0];
  const code = {
    kind: "code-text",
    path: reader.text(reader.u16(184)),
    file: { dev: reader.u64(32), inode: reader.u64(40) },
    offset: reader.u64(24),
    length: Number(end - start),
  } as const;
  if (!isRead) return code;
  return {
    ...code,
    executed: reader.fixedHex(88, 32),
    cached: reader.fixedHex(120, 32),
    memory: readDifference(reader, 48),
    ...(hasDisk ? { stored: reader.fixedHex(152, 32), disk: readDifference(reader, 64) } : {}),
  };
}

function readDifference(reader: RecordReader, at: number): CodeDifference {
  return { pages: reader.u32(at), bits: reader.u64(at + 8) };
}

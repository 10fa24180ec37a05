import assert from "node:assert/strict";
import { endianness } from "node:os";
import { test } from "node:test";
import fc from "fast-check";
import { RimonError } from "../src/errors.ts";
import type { NativeRecord } from "../src/record.ts";
import { decodeRecords } from "../src/records.ts";

// Bytes are written here by hand after native/record.h, in the machine's order, not by what is under test.

type Field = readonly [bytes: 2 | 4 | 8, value: number | bigint];
const u16 = (value: number): Field => [2, value];
const u32 = (value: number): Field => [4, value];
const u64 = (value: number | bigint): Field => [8, value];

function record(kind: number, fields: readonly Field[], strings: readonly (string | Buffer)[] = []): Buffer {
  const fixed = [u16(kind), u16(0), u32(0), ...fields].map(([size, value]) => {
    const bytes = Buffer.alloc(8);
    if (endianness() === "LE") bytes.writeBigUInt64LE(BigInt(value));
    else bytes.writeBigUInt64BE(BigInt(value) << BigInt(64 - 8 * size));
    return bytes.subarray(0, size);
  });
  const parts = Buffer.concat([...fixed, ...strings.map((string) => Buffer.from(string as string))]);
  const padded = Buffer.concat([parts, Buffer.alloc((8 - (parts.length % 8)) % 8)]);
  if (endianness() === "LE") padded.writeUInt32LE(padded.length, 4);
  else padded.writeUInt32BE(padded.length, 4);
  return padded;
}

const ALL_OF_A_PROCESS = 0b0111_1111_1111;

function processRecord(have: number, strings: readonly (string | Buffer)[] = ["", "", "", "", "", ""]): Buffer {
  const lengths = strings.map((string) => Buffer.byteLength(string as string));
  const namespacePids = (lengths[5] ?? 0) / 4;
  const times = [
    u64(123_456),
    u64(0x1_ff00_00ffn),
    u64(64_768),
    u64(2n ** 40n),
    u64(4_096),
    u64(1_774_321_417_000_000_000n),
  ];
  const namespaces = [u64(4_026_531_836), u64(4_026_531_832), u64(0), u64(2n ** 64n - 1n)];
  const numbers = [have, 42, 1, 7, 1000, 1001, 1002, 3, 0x33, 65534].map(u32);
  const sizes = [...lengths.slice(0, 5), namespacePids].map(u16);
  return record(1, [...times, ...namespaces, ...numbers, ...sizes, u32(5)], strings);
}

function native32(...numbers: number[]): Buffer {
  return Buffer.from(Uint32Array.from(numbers).buffer);
}

const MAPPING = record(
  9,
  [u64(0x40_0000), u64(0x45_2000), u64(0x1000), u64(64_768), u64(173_521), u32(0b0101), u16(8), u16(0)],
  ["/bin/cat"],
);

const ASKED = [1_000n, 123_456, 3].map(u64).concat([4, 1, 0x12, 93, 94, 42, 43, 0].map(u32));

const TOUCH = [1_000n, 123_456, 3].map(u64).concat([1, 1, 93, 94, 42, 310].map(u32), [2_049, 77].map(u64));

const CODE_PAGE = {
  page: "7f0000003000",
  size: 4096,
  mapping: "7f0000001000-7f0000005000",
  offset: 0x2000,
  file: { dev: 64_768, inode: 173_521 },
  permissions: "r-xp",
  path: "/a.so",
};

function codePageRecord(compared: number, differing: number, runs: number): Buffer {
  const places = [0x7f00_0000_3000, 0x7f00_0000_1000, 0x7f00_0000_5000, 0x2000, 64_768, 173_521].map(u64);
  return record(17, [...places, u32(0b0101), u32(compared), u32(differing), u16(runs), u16(5)], ["/a.so"]);
}

const CODE_RUN = record(
  18,
  [u64(0x7f00_0000_3ffc), u32(4), u16(2), u16(3)],
  [Buffer.from([0xe9, 0]), Buffer.from([1, 2, 0xff])],
);

const GOLDEN: readonly { what: string; bytes: Buffer; records: NativeRecord[] }[] = [
  {
    what: "a process of which all is known",
    bytes: processRecord(ALL_OF_A_PROCESS, [
      "a) b",
      "/bin/cat (deleted)",
      "cat\0\0-n\0\0\0",
      "/system.slice/x.service",
      "LD_PRELOAD=/a.so:/b.so /c d\0LD_AUDIT=/e f.so\0LD_PRELOAD=\0",
      native32(42, 2),
    ]),
    records: [
      {
        kind: "process",
        process: {
          pid: 42,
          startTime: 123_456,
          parentPid: 1,
          comm: "a) b",
          kernelThread: false,
          uid: 1000,
          euid: 1001,
          gid: 1002,
          threads: 3,
          tracerPid: 7,
          capabilities: "00000001ff0000ff",
          namespacePids: [42, 2],
          exe: "/bin/cat (deleted)",
          exeFile: { dev: 64_768, inode: 2 ** 40, size: 4096, mtimeNs: "1774321417000000000" },
          cmdline: ["cat", "", "-n"],
          cgroup: "/system.slice/x.service",
          pidNamespace: 4_026_531_836,
          mountNamespace: 4_026_531_832,
        },
        posture: {
          coreLimit: ["0", "unlimited"],
          coredumpFilter: 0x33,
          procOwner: 65534,
          loader: [
            { name: "LD_PRELOAD", paths: ["/a.so", "/b.so", "/c", "d"] },
            { name: "LD_AUDIT", paths: ["/e f.so"] },
          ],
        },
      },
    ],
  },
  {
    what: "a process of which nothing but its stat is known",
    bytes: processRecord(0, [Buffer.from([0x61, 0xc3]), "", "", "", "", ""]),
    records: [
      {
        kind: "process",
        process: { pid: 42, startTime: 123_456, parentPid: 1, comm: "a\ufffd", kernelThread: false },
      },
    ],
  },
  {
    what: "a kernel thread, with an empty environment that is known",
    bytes: processRecord(0b1000_1000_1000),
    records: [
      {
        kind: "process",
        process: { pid: 42, startTime: 123_456, parentPid: 1, comm: "", kernelThread: true, cmdline: [] },
        posture: { loader: [] },
      },
    ],
  },
  {
    what: "a process and how often it was another program",
    bytes: processRecord(0b10_0000_0000_0000, ["a", "", "", "", "", ""]),
    records: [
      {
        kind: "process",
        process: { pid: 42, startTime: 123_456, parentPid: 1, comm: "a", kernelThread: false },
        execId: 5,
      },
    ],
  },
  {
    what: "a thread that is traced",
    bytes: record(2, [u64(123_456), u32(42), u32(43), u32(7), u32(0)]),
    records: [{ kind: "thread", pid: 42, startTime: 123_456, tid: 43, tracerPid: 7 }],
  },
  {
    what: "an event of a process",
    bytes: record(3, [u64(2n ** 60n), u32(4), u32(42), u32(43), u32(7), u32(8), u32(9)]),
    records: [
      {
        kind: "process-event",
        event: "traced",
        timeNs: 2n ** 60n,
        pid: 42,
        tid: 43,
        otherPid: 7,
        otherTid: 8,
        code: 9,
      },
    ],
  },
  {
    what: "a file of a procfs by way of a thread",
    bytes: record(
      4,
      [u64(21), u64(123_456), u32(1), u32(0b011), u32(7), u32(42), u32(43), u16(20), u16(0)],
      ["/proc/42/task/43/mem"],
    ),
    records: [
      {
        kind: "proc-file",
        file: "mem",
        opened: true,
        read: true,
        written: false,
        dev: 21,
        pid: 7,
        targetPid: 42,
        targetTid: 43,
        targetStartTime: 123_456,
        path: "/proc/42/task/43/mem",
      },
    ],
  },
  {
    what: "a setting",
    bytes: record(4, [u64(21), u64(0), u32(11), u32(0b100), u32(7), u32(0), u32(0), u16(9), u16(0)], ["/proc/sys"]),
    records: [
      {
        kind: "proc-file",
        file: "sysctl",
        opened: false,
        read: false,
        written: true,
        dev: 21,
        pid: 7,
        targetPid: 0,
        path: "/proc/sys",
      },
    ],
  },
  {
    what: "a file",
    bytes: record(5, [u64(64_768), u64(99), u32(0b100), u32(7), u16(4), u16(0), u16(0), u16(0)], ["/log"]),
    records: [{ kind: "file", dev: 64_768, inode: 99, written: true, pid: 7, path: "/log" }],
  },
  { what: "a mount table", bytes: record(6, [u32(42), u32(0)]), records: [{ kind: "mounts", id: 42 }] },
  {
    what: "losses",
    bytes: Buffer.concat([record(7, [u64(0), u32(1), u32(0)]), record(7, [u64(9), u32(3), u32(0)])]),
    records: [
      { kind: "lost", source: "connector" },
      { kind: "lost", source: "queue", count: 9 },
    ],
  },
  {
    what: "mappings",
    bytes: Buffer.concat([record(8, [u64(2n ** 63n), u32(42), u32(1)]), MAPPING]),
    records: [
      {
        kind: "maps",
        pid: 42,
        digest: 2n ** 63n,
        mappings: [
          {
            start: "400000",
            end: "452000",
            permissions: "r-xp",
            offset: 4096,
            file: { dev: 64_768, inode: 173_521 },
            path: "/bin/cat",
          },
        ],
      },
    ],
  },
  {
    what: "no mappings, and mappings as they were",
    bytes: Buffer.concat([record(8, [u64(1), u32(42), u32(0)]), record(8, [u64(1), u32(42), u32(0xffff_ffff)])]),
    records: [
      { kind: "maps", pid: 42, digest: 1n, mappings: [] },
      { kind: "maps", pid: 42, digest: 1n },
    ],
  },
  {
    what: "an open file",
    bytes: record(10, [u64(123_456), u32(42), u32(7), u16(8), u16(0), u16(0), u16(0)], ["/key.pem"]),
    records: [{ kind: "open-file", pid: 42, startTime: 123_456, fd: 7, path: "/key.pem" }],
  },
  {
    what: "memory that was touched, and whoever touched it killed",
    bytes: record(11, TOUCH),
    records: [
      {
        kind: "memory",
        timeNs: 1_000n,
        targetStartTime: 123_456,
        suppressed: 3,
        operation: "vm-read",
        action: "killed",
        pid: 93,
        tid: 94,
        targetPid: 42,
        syscall: 310,
        exeFile: { dev: 2_049, inode: 77 },
      },
    ],
  },
  {
    what: "a request to reach into a process, refused",
    bytes: record(20, ASKED),
    records: [
      {
        kind: "access",
        timeNs: 1_000n,
        targetStartTime: 123_456,
        suppressed: 3,
        call: "open",
        action: "refused",
        attach: true,
        pid: 93,
        tid: 94,
        targetPid: 42,
        targetTid: 43,
      },
    ],
  },
  {
    what: "the memory of the machine, asked for and refused",
    bytes: record(22, [u64(1_000), u64(3), ...[2, 1, 1, 93, 94].map(u32), u16(0), u16(0)]),
    records: [
      {
        kind: "machine-memory",
        timeNs: 1_000n,
        suppressed: 3,
        memory: "device",
        access: "open",
        action: "refused",
        pid: 93,
        tid: 94,
      },
    ],
  },
  {
    what: "the memory of the machine as a mark tells it",
    bytes: record(22, [u64(0), u64(0), ...[1, 2, 0, 93, 0].map(u32), u16(11), u16(0)], ["/proc/kcore"]),
    records: [
      {
        kind: "machine-memory",
        suppressed: 0,
        memory: "kcore",
        access: "read",
        action: "seen",
        pid: 93,
        path: "/proc/kcore",
      },
    ],
  },
  {
    what: "a setting that was about to be written, and refused",
    bytes: record(23, [u64(1_000), u64(3), ...[1, 1, 93, 94].map(u32), u16(6), u16(0), u32(0)], ["|/x %p"]),
    records: [
      {
        kind: "sysctl",
        timeNs: 1_000n,
        suppressed: 3,
        setting: "kernel.core_pattern",
        action: "refused",
        pid: 93,
        tid: 94,
        value: "|/x %p",
      },
    ],
  },
  {
    what: "a setting to which echo was about to write",
    bytes: record(23, [u64(1_000), u64(0), ...[2, 0, 93, 94].map(u32), u16(2), u16(0), u32(0)], ["2\n"]),
    records: [
      {
        kind: "sysctl",
        timeNs: 1_000n,
        suppressed: 0,
        setting: "fs.suid_dumpable",
        action: "seen",
        pid: 93,
        tid: 94,
        value: "2",
      },
    ],
  },
  {
    what: "a process of which the kernel's side said who it is and no more",
    bytes: processRecord(1 << 12, ["dd", "", "", "", "", ""]),
    records: [
      {
        kind: "process",
        process: {
          pid: 42,
          startTime: 123_456,
          parentPid: 1,
          comm: "dd",
          kernelThread: false,
          uid: 1000,
          euid: 1001,
          gid: 1002,
        },
      },
    ],
  },
  {
    what: "a program from memory",
    bytes: record(12, [u64(1_000), u64(123_456), u32(42), u16(8), u16(0)], ["memfd:xy"]),
    records: [{ kind: "unlinked-exec", timeNs: 1_000n, startTime: 123_456, pid: 42, name: "memfd:xy" }],
  },
  {
    what: "a loss of the eBPF ring",
    bytes: record(7, [u64(9), u32(4), u32(0)]),
    records: [{ kind: "lost", source: "memory", count: 9 }],
  },
  {
    what: "pages of code: changed, put back, not compared",
    bytes: Buffer.concat([
      record(16, [u64(123_456), u32(42), u32(4096), u32(3), u32(7), u32(1), u32(0)]),
      codePageRecord(1, 4, 1),
      CODE_RUN,
      codePageRecord(1, 0, 0),
      codePageRecord(0, 0, 0),
    ]),
    records: [
      {
        kind: "code-pages",
        pid: 42,
        startTime: 123_456,
        byPagemap: true,
        unread: 7,
        readable: true,
        pages: [
          {
            ...CODE_PAGE,
            differing: 4,
            changes: [{ address: "7f0000003ffc", offset: 0x2ffc, length: 4, found: "e900", expected: "0102ff" }],
          },
          { ...CODE_PAGE, differing: 0, changes: [] },
          CODE_PAGE,
        ],
      },
    ],
  },
  {
    what: "uprobes: held, of tracefs, and what could not be asked for",
    bytes: Buffer.concat([
      record(24, [u64(123_456), u64(0x2000), u32(42), u32(1), u32(1), u16(4), u16(0)], ["/lib"]),
      record(24, [u64(0), u64(0x10), u32(0), u32(3), u32(0), u16(4), u16(3)], ["/lib", "a/b"]),
      record(25, [u32(0), u32(1), u32(2), u32(0)]),
    ]),
    records: [
      {
        kind: "uprobe",
        path: "/lib",
        offset: 0x2000,
        source: "perf",
        returns: true,
        holder: { pid: 42, startTime: 123_456 },
      },
      { kind: "uprobe", path: "/lib", offset: 0x10, source: "event", returns: false, name: "a/b" },
      { kind: "uprobes", errors: { descriptors: 0, links: 1, events: 2 } },
    ],
  },
  {
    what: "a call about a thread of a protected process, with its argument",
    bytes: record(13, [u64(1_000), u64(123_456), u64(7), u64(3), ...[8, 93, 94, 42, 43, 1].map(u32)]),
    records: [
      {
        kind: "call",
        timeNs: 1_000n,
        targetStartTime: 123_456,
        argument: 7n,
        suppressed: 3,
        call: "getfd",
        pid: 93,
        tid: 94,
        targetPid: 42,
        targetTid: 43,
      },
    ],
  },
  {
    what: "a call about nobody, whose argument could not be read",
    bytes: record(13, [u64(1_000), u64(0), u64(0), u64(0), ...[15, 93, 93, 0, 0, 0].map(u32)]),
    records: [
      {
        kind: "call",
        timeNs: 1_000n,
        targetStartTime: 0,
        suppressed: 0,
        call: "bpf-load",
        pid: 93,
        tid: 93,
        targetPid: 0,
        targetTid: 0,
      },
    ],
  },
  {
    what: "a signal from another",
    bytes: record(14, [u64(1_000), u64(123_456), u64(0), ...[6, 93, 93, 42].map(u32)]),
    records: [
      {
        kind: "signal",
        timeNs: 1_000n,
        targetStartTime: 123_456,
        suppressed: 0,
        signal: 6,
        pid: 93,
        tid: 93,
        targetPid: 42,
      },
    ],
  },
];

for (const { what, bytes, records } of GOLDEN) {
  test(`decodes ${what}`, () => assert.deepEqual(decodeRecords(bytes), records));
}

test("decodes a batch at any place of a larger buffer", () => {
  const batch = Buffer.concat(GOLDEN.map(({ bytes }) => bytes));
  const records = GOLDEN.flatMap((golden) => golden.records);
  assert.deepEqual(decodeRecords(batch), records);
  assert.deepEqual(decodeRecords(Buffer.concat([Buffer.from([1, 2, 3]), batch]).subarray(3)), records);
  assert.deepEqual(decodeRecords(Buffer.alloc(0)), []);
});

for (const [what, bytes, message] of [
  ["a head that is cut", Buffer.alloc(7), /7 bytes where a record's head/],
  ["zeros", Buffer.alloc(64), /unknown kind 0/],
  ["a kind of the future", record(99, [u64(0)]), /unknown kind 99/],
  ["a record that is cut", processRecord(0).subarray(0, 136), /144 bytes, expected 144 to 136/],
  ["a record too short for its kind", record(1, [u64(0)]), /expected 144/],
  [
    "a string longer than its record",
    record(5, [u64(1), u64(1), u32(0), u32(7), u16(9), u16(0), u32(0)]),
    /strings are longer/,
  ],
  ["an unknown event", record(3, [u64(0), ...[99, 0, 0, 0, 0, 0].map(u32)]), /process event, number 99/],
  ["mappings that do not come", record(8, [u64(1), u32(42), u32(1)]), /0 mappings of process 42 where 1/],
  ["a mapping of nobody", MAPPING, /kind 9 where one may begin/],
  [
    "pages of code that do not come",
    record(16, [u64(1), u32(42), u32(4096), u32(1), u32(0), u32(0), u32(0)]),
    /0 pages of code of process 42 where 1/,
  ],
  [
    "changes that do not come",
    Buffer.concat([record(16, [u64(1), u32(42), u32(4096), u32(1), u32(0), u32(0), u32(0)]), codePageRecord(1, 1, 1)]),
    /0 changes of a page of code where 1/,
  ],
  ["a change of no page", CODE_RUN, /kind 18 where one may begin/],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(() => decodeRecords(bytes), { code: "RIMON_NATIVE", message });
  });
}

test("any bytes either decode or are refused", () => {
  const batch = Buffer.concat(GOLDEN.map(({ bytes }) => bytes));
  const survives = (bytes: Buffer) => {
    try {
      decodeRecords(bytes);
    } catch (thrown) {
      assert.ok(thrown instanceof RimonError && thrown.code === "RIMON_NATIVE", String(thrown));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => survives(Buffer.from(bytes))));
  const change = fc.tuple(fc.nat(batch.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(batch.length), (changes, cut) => {
      const bytes = Buffer.from(batch);
      for (const [at, value] of changes) bytes[at] = value;
      survives(bytes);
      survives(bytes.subarray(0, cut));
    }),
    { numRuns: 2000 },
  );
});

// Reads the records of native/record.h, a field at a time. Knows their layout and nothing of what they mean.

import type { AccessCall, Call, MemoryOperation, ProcFile } from "./observation.ts";
import {
  MEMORY_OPERATION,
  type AccessRecord,
  type FileChangeRecord,
  type LostRecord,
  type MachineMemoryRecord,
  type MemoryRecord,
  type NativeRecord,
  type ProcFileRecord,
  type ProcessEventName,
  type ProcessIdentity,
  type ProcessTable,
  type SysctlRecord,
  type ThreadRecord,
  type UprobeRecord,
} from "./record.ts";
import { readGate } from "./record-gate.ts";
import { readCodePages, readCodeText, readMaps } from "./record-maps.ts";
import { readExec, readIdentity, readProcess } from "./record-process.ts";
import { nonsense, RecordReader } from "./record-reader.ts";

const KIND = {
  process: 1,
  thread: 2,
  processEvent: 3,
  procFile: 4,
  file: 5,
  mounts: 6,
  lost: 7,
  maps: 8,
  openFile: 10,
  memory: 11,
  exec: 12,
  call: 13,
  signal: 14,
  bpfProgram: 15,
  codePages: 16,
  codeText: 19,
  access: 20,
  seccompFilter: 21,
  machineMemory: 22,
  sysctl: 23,
  uprobe: 24,
  uprobes: 25,
  fileChange: 28,
  gate: 30,
} as const;

/** The size of each kind's fixed part, by its number. */
const FIXED_SIZE = [
  0, 144, 32, 40, 48, 40, 16, 24, 24, 56, 32, 72, 40, 64, 48, 32, 40, 72, 24, 192, 64, 48, 48, 48, 40, 24, 0, 0, 40, 0,
  80,
];

const EVENTS: readonly (ProcessEventName | undefined)[] = [
  undefined,
  "fork",
  "exec",
  "exit",
  "traced",
  "dumping",
  "comm",
];

const PROC_FILES: readonly (ProcFile | "sysctl" | undefined)[] = [
  undefined,
  "mem",
  "environ",
  "maps",
  "smaps",
  "pagemap",
  "map_files",
  "auxv",
  "stack",
  "syscall",
  "coredump_filter",
  "sysctl",
];

const LOST_SOURCES: readonly (LostRecord["source"] | undefined)[] = [
  undefined,
  "connector",
  "files",
  "queue",
  "memory",
  "exec",
  "calls",
  "signals",
  "access",
  "sysctl",
  "file-events",
  "file-changes",
  ...Array<undefined>(8).fill(undefined),
  "gate",
];

const OPERATIONS: readonly (MemoryOperation | undefined)[] = Object.keys(MEMORY_OPERATION) as MemoryOperation[];

const CALLS: readonly (Call | undefined)[] = [
  undefined,
  "attach",
  "peek",
  "poke",
  "registers-read",
  "registers-write",
  "vm-read",
  "vm-write",
  "getfd",
  "compare",
  "perf",
  "core-limit",
  "advise",
  "dumpable",
  "tracer",
  "bpf-load",
  "map-code",
  "map-file",
  "probe",
];

const ACTIONS: readonly (MemoryRecord["action"] | undefined)[] = ["seen", "killed", "not-killed", "asleep"];

const ACCESS_CALLS: readonly (AccessCall | undefined)[] = [
  "other",
  "ptrace",
  "vm-read",
  "vm-write",
  "open",
  "read",
  "pidfd-getfd",
  "kcmp",
  "advise",
  "perf",
  "move",
  "setns",
];

const ACCESS_ACTIONS: readonly (AccessRecord["action"] | undefined)[] = ["seen", "refused", "asleep"];

const MACHINE_MEMORIES: readonly (MachineMemoryRecord["memory"] | undefined)[] = [undefined, "kcore", "device"];

const SETTINGS: readonly (SysctlRecord["setting"] | undefined)[] = [
  undefined,
  "kernel.core_pattern",
  "fs.suid_dumpable",
];
const UPROBE_SOURCES: readonly (UprobeRecord["source"] | undefined)[] = [undefined, "perf", "link", "event"];

/** linux: include/linux/ptrace.h */
const PTRACE_MODE_ATTACH = 0x02;

const ACCESS_OPEN = 1;
const ACCESS_READ = 2;
const ACCESS_WRITE = 4;

/** The records of one batch in their order; throws RIMON_NATIVE on bytes that are none. */
export function decodeRecords(batch: Buffer): NativeRecord[] {
  const reader = new RecordReader(batch, FIXED_SIZE);
  const records: NativeRecord[] = [];
  while (reader.next()) {
    switch (reader.kind) {
      case KIND.process:
        records.push(readProcess(reader));
        break;
      case KIND.thread:
        records.push(readThread(reader));
        break;
      case KIND.processEvent:
        records.push({
          kind: "process-event",
          event: named(EVENTS, reader.u32(16), "process event"),
          timeNs: reader.bigint(8),
          pid: reader.u32(20),
          tid: reader.u32(24),
          otherPid: reader.u32(28),
          otherTid: reader.u32(32),
          code: reader.u32(36),
        });
        break;
      case KIND.procFile:
        records.push(readProcFile(reader));
        break;
      case KIND.file:
        records.push({
          kind: "file",
          dev: reader.u64(8),
          inode: reader.u64(16),
          written: (reader.u32(24) & ACCESS_WRITE) !== 0,
          pid: reader.u32(28),
          path: reader.text(reader.u16(32)),
        });
        break;
      case KIND.fileChange:
        records.push(readFileChange(reader));
        break;
      case KIND.mounts:
        records.push({ kind: "mounts", id: reader.u32(8) });
        break;
      case KIND.gate:
        records.push(readGate(reader));
        break;
      case KIND.lost: {
        const source = named(LOST_SOURCES, reader.u32(16), "source of a loss");
        const count = reader.u64(8);
        records.push(count === 0 ? { kind: "lost", source } : { kind: "lost", source, count });
        break;
      }
      case KIND.maps:
        records.push(readMaps(reader));
        break;
      case KIND.memory: {
        const inode = reader.u64(64);
        records.push({
          kind: "memory",
          timeNs: reader.bigint(8),
          targetStartTime: reader.u64(16),
          suppressed: reader.u64(24),
          operation: named(OPERATIONS, reader.u32(32), "way to touch memory"),
          action: named(ACTIONS, reader.u32(36), "answer to a touch of memory"),
          pid: reader.u32(40),
          tid: reader.u32(44),
          targetPid: reader.u32(48),
          syscall: reader.u32(52),
          ...(inode === 0 ? {} : { exeFile: { dev: reader.u64(56), inode } }),
        });
        break;
      }
      case KIND.exec:
        records.push(readExec(reader));
        break;
      case KIND.call:
        records.push({
          kind: "call",
          timeNs: reader.bigint(8),
          targetStartTime: reader.u64(16),
          ...(reader.u32(60) === 0 ? {} : { argument: reader.bigint(24) }),
          suppressed: reader.u64(32),
          call: named(CALLS, reader.u32(40), "call"),
          pid: reader.u32(44),
          tid: reader.u32(48),
          targetPid: reader.u32(52),
          targetTid: reader.u32(56),
        });
        break;
      case KIND.signal:
        records.push({
          kind: "signal",
          timeNs: reader.bigint(8),
          targetStartTime: reader.u64(16),
          suppressed: reader.u64(24),
          signal: reader.u32(32),
          pid: reader.u32(36),
          tid: reader.u32(40),
          targetPid: reader.u32(44),
        });
        break;
      case KIND.access:
        records.push({
          kind: "access",
          timeNs: reader.bigint(8),
          targetStartTime: reader.u64(16),
          suppressed: reader.u64(24),
          call: named(ACCESS_CALLS, reader.u32(32), "call that asks for access"),
          action: named(ACCESS_ACTIONS, reader.u32(36), "answer to an access"),
          attach: (reader.u32(40) & PTRACE_MODE_ATTACH) !== 0,
          pid: reader.u32(44),
          tid: reader.u32(48),
          targetPid: reader.u32(52),
          targetTid: reader.u32(56),
        });
        break;
      case KIND.machineMemory:
        records.push(readMachineMemory(reader));
        break;
      case KIND.sysctl:
        records.push({
          kind: "sysctl",
          timeNs: reader.bigint(8),
          suppressed: reader.u64(16),
          setting: named(SETTINGS, reader.u32(24), "setting"),
          action: named(ACCESS_ACTIONS, reader.u32(28), "answer to a write"),
          pid: reader.u32(32),
          tid: reader.u32(36),
          // As echo(1) writes it.
          value: reader.text(reader.u16(40)).replace(/\n$/, ""),
        });
        break;
      case KIND.openFile:
        records.push({
          kind: "open-file",
          pid: reader.u32(16),
          startTime: reader.u64(8),
          fd: reader.u32(20),
          path: reader.text(reader.u16(24)),
        });
        break;
      case KIND.uprobe: {
        const pid = reader.u32(24);
        const path = reader.text(reader.u16(36));
        const name = reader.text(reader.u16(38));
        records.push({
          kind: "uprobe",
          offset: reader.u64(16),
          source: named(UPROBE_SOURCES, reader.u32(28), "source of a uprobe"),
          returns: reader.u32(32) !== 0,
          path,
          ...(name === "" ? {} : { name }),
          ...(pid === 0 ? {} : { holder: { pid, startTime: reader.u64(8) } }),
        });
        break;
      }
      case KIND.uprobes:
        records.push({
          kind: "uprobes",
          errors: { descriptors: reader.u32(8), links: reader.u32(12), events: reader.u32(16) },
        });
        break;
      case KIND.codePages:
        records.push(readCodePages(reader));
        break;
      case KIND.bpfProgram:
        records.push({
          kind: "bpf-program",
          id: reader.u32(8),
          type: reader.u32(12),
          tag: reader.fixedHex(16, 8),
          uid: reader.u32(24),
          name: reader.text(reader.u16(28)),
        });
        break;
      case KIND.seccompFilter:
        records.push({ kind: "seccomp-filter", instructions: reader.u32(8), sha256: reader.fixedHex(16, 32) });
        break;
      case KIND.codeText:
        records.push(readCodeText(reader));
        break;
      default:
        throw nonsense(`a record of kind ${reader.kind} where one may begin`);
    }
  }
  return records;
}

/** Of a batch of processes and threads what a pass compares: a table that has not changed is read some ten times as fast. */
export function decodeTable(batch: Buffer): ProcessTable {
  const reader = new RecordReader(batch, FIXED_SIZE);
  const table = { processes: [] as ProcessIdentity[], threads: [] as ThreadRecord[] };
  while (reader.next()) {
    if (reader.kind === KIND.process) table.processes.push(readIdentity(reader));
    else if (reader.kind === KIND.thread) table.threads.push(readThread(reader));
    else throw nonsense(`a record of kind ${reader.kind} in a table of processes`);
  }
  return table;
}

function readThread(reader: RecordReader): ThreadRecord {
  return {
    kind: "thread",
    pid: reader.u32(16),
    startTime: reader.u64(8),
    tid: reader.u32(20),
    tracerPid: reader.u32(24),
  };
}

function readProcFile(reader: RecordReader): ProcFileRecord {
  const access = reader.u32(28);
  const startTime = reader.u64(16);
  const tid = reader.u32(40);
  return {
    kind: "proc-file",
    file: named(PROC_FILES, reader.u32(24), "file of a procfs"),
    opened: (access & ACCESS_OPEN) !== 0,
    read: (access & ACCESS_READ) !== 0,
    written: (access & ACCESS_WRITE) !== 0,
    dev: reader.u64(8),
    pid: reader.u32(32),
    targetPid: reader.u32(36),
    ...(tid === 0 ? {} : { targetTid: tid }),
    ...(startTime === 0 ? {} : { targetStartTime: startTime }),
    path: reader.text(reader.u16(44)),
  };
}

function readFileChange(reader: RecordReader): FileChangeRecord {
  const changes = reader.u32(24);
  const startTime = reader.u64(16);
  // Copies: what is kept of a batch keeps all of it.
  const path = Buffer.from(reader.bytes(reader.u16(36)));
  const from = Buffer.from(reader.bytes(reader.u16(38)));
  return {
    kind: "file-change",
    timeNs: reader.bigint(8),
    pid: reader.u32(28),
    ...(startTime === 0 ? {} : { startTime }),
    created: (changes & 1) !== 0,
    removed: (changes & 2) !== 0,
    written: (changes & 4) !== 0,
    closed: (changes & 8) !== 0,
    attributes: (changes & 16) !== 0,
    moved: (changes & 32) !== 0,
    folder: (changes & 64) !== 0,
    fromOutside: (changes & 128) !== 0,
    toOutside: (changes & 256) !== 0,
    nameless: (changes & 512) !== 0,
    count: reader.u32(32),
    path,
    ...(from.length === 0 ? {} : { from }),
  };
}

function readMachineMemory(reader: RecordReader): MachineMemoryRecord {
  const access = reader.u32(28);
  const timeNs = reader.bigint(8);
  const tid = reader.u32(40);
  const path = reader.text(reader.u16(44));
  return {
    kind: "machine-memory",
    ...(timeNs === 0n ? {} : { timeNs }),
    suppressed: reader.u64(16),
    memory: named(MACHINE_MEMORIES, reader.u32(24), "memory of the machine"),
    access: access & ACCESS_WRITE ? "write" : access & ACCESS_READ ? "read" : "open",
    action: named(ACCESS_ACTIONS, reader.u32(32), "answer to an access"),
    pid: reader.u32(36),
    ...(tid === 0 ? {} : { tid }),
    ...(path === "" ? {} : { path }),
  };
}

function named<Name>(names: readonly (Name | undefined)[], number: number, what: string): Name {
  const name = names[number];
  if (name === undefined) throw nonsense(`an unknown ${what}, number ${number}`);
  return name;
}

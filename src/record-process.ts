// Reads the process records of native/record.h: all that is known of each, or only what tells whether it is as it was.

import type { Posture, Process } from "./observation.ts";
import type { ExecRecord, ProcessIdentity, ProcessRecord } from "./record.ts";
import type { RecordReader } from "./record-reader.ts";

const HAVE = {
  status: 1 << 0,
  exe: 1 << 1,
  exeFile: 1 << 2,
  cmdline: 1 << 3,
  cgroup: 1 << 4,
  pidNamespace: 1 << 5,
  mountNamespace: 1 << 6,
  loader: 1 << 7,
  limits: 1 << 8,
  filter: 1 << 9,
  owner: 1 << 10,
  kernelThread: 1 << 11,
  ids: 1 << 12,
  execId: 1 << 13,
} as const;

/** enum exec_fact of native/bpf/exec.h */
const FACT = { unlinked: 1 << 0, upper: 1 << 1, libraryPath: 1 << 2, loaderCut: 1 << 3 } as const;

const NUL = 0;

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

export function readProcess(reader: RecordReader): ProcessRecord {
  const have = reader.u32(88);
  const process: Writable<Process> = {
    pid: reader.u32(92),
    startTime: reader.u64(8),
    parentPid: reader.u32(96),
    comm: reader.text(reader.u16(128)),
    kernelThread: (have & HAVE.kernelThread) !== 0,
  };
  const exe = reader.text(reader.u16(130));
  const cmdline = reader.text(reader.u16(132));
  const cgroup = reader.text(reader.u16(134));
  const loader = reader.text(reader.u16(136));
  const namespacePids = reader.u32s(reader.u16(138));
  if (have & (HAVE.status | HAVE.ids)) {
    process.uid = reader.u32(104);
    process.euid = reader.u32(108);
    process.gid = reader.u32(112);
  }
  if (have & HAVE.status) {
    process.threads = reader.u32(116);
    process.tracerPid = reader.u32(100);
    process.capabilities = reader.hex(16).padStart(16, "0");
    if (namespacePids.length > 0) process.namespacePids = namespacePids;
  }
  if (have & HAVE.exe) process.exe = exe;
  if (have & HAVE.exeFile) {
    process.exeFile = {
      dev: reader.u64(24),
      inode: reader.u64(32),
      size: reader.u64(40),
      mtimeNs: BigInt.asIntN(64, reader.bigint(48)).toString(),
    };
  }
  if (have & HAVE.cmdline) process.cmdline = splitCmdline(cmdline);
  if (have & HAVE.cgroup) process.cgroup = cgroup;
  if (have & HAVE.pidNamespace) process.pidNamespace = reader.u64(56);
  if (have & HAVE.mountNamespace) process.mountNamespace = reader.u64(64);
  const head = { kind: "process", process, ...(have & HAVE.execId ? { execId: reader.u32(140) } : {}) } as const;
  if (!(have & (HAVE.loader | HAVE.limits | HAVE.filter | HAVE.owner))) return head;
  const posture: Writable<Posture> = {};
  if (have & HAVE.limits) posture.coreLimit = [limit(reader.bigint(72)), limit(reader.bigint(80))];
  if (have & HAVE.filter) posture.coredumpFilter = reader.u32(120);
  if (have & HAVE.owner) posture.procOwner = reader.u32(124);
  if (have & HAVE.loader) posture.loader = splitLoader(loader);
  return { ...head, posture };
}

/** At a fraction of what the whole record takes. */
export function readIdentity(reader: RecordReader): ProcessIdentity {
  const have = reader.u32(88);
  return {
    pid: reader.u32(92),
    startTime: reader.u64(8),
    parentPid: reader.u32(96),
    comm: reader.latin1(reader.u16(128)),
    execId: have & HAVE.execId ? reader.u32(140) : undefined,
    exeInode: have & HAVE.exeFile ? reader.u64(32) : undefined,
    mountNamespace: have & HAVE.mountNamespace ? reader.u64(64) : undefined,
  };
}

export function readExec(reader: RecordReader): ExecRecord {
  const facts = reader.u32(28);
  const name = reader.text(reader.u16(32));
  const loader = splitLoader(reader.text(reader.u16(34)));
  return {
    kind: "exec",
    timeNs: reader.bigint(8),
    startTime: reader.u64(16),
    pid: reader.u32(24),
    name,
    unlinked: (facts & FACT.unlinked) !== 0,
    upper: (facts & FACT.upper) !== 0,
    posture: {
      loader,
      ...(facts & FACT.loaderCut ? { loaderCut: true } : {}),
      ...(facts & FACT.libraryPath ? { libraryPath: true } : {}),
    },
  };
}

/** Programs that set their title pad it with NULs, so those at the end are no arguments. */
function splitCmdline(text: string): string[] {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === NUL) end--;
  return end === 0 ? [] : text.slice(0, end).split("\0");
}

function splitLoader(text: string): { name: string; paths: string[] }[] {
  return text
    .split("\0")
    .map((entry) => {
      const equals = entry.indexOf("=");
      const name = entry.slice(0, Math.max(equals, 0));
      // ld.so(8): LD_PRELOAD is split at spaces and colons, LD_AUDIT at colons.
      const separator = name === "LD_PRELOAD" ? /[ :]/ : ":";
      const paths = entry.slice(equals + 1).split(separator);
      return { name, paths: paths.filter((path) => path !== "") };
    })
    .filter(({ name, paths }) => name !== "" && paths.length > 0);
}

function limit(bytes: bigint): string {
  return bytes === 0xffff_ffff_ffff_ffffn ? "unlimited" : bytes.toString();
}

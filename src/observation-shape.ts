// What an observation looks like when it comes from a file instead of a sensor. The types of observation.ts are gone at
// run time; the tables here say the same, and do not compile if they say less.

import type { BaselineOf } from "./baseline-refused.ts";
import type { GateMode, GateReason } from "./exec-judged.ts";
import type { Verdict } from "./isolation-changed.ts";
import type {
  AccessCall, Call, CodeChange, ExecutableTraits, FileId, FileVersion, Machine, Mapping, MemoryOperation, Observation,
  ObservationOf, Posture, ProcFile, Process,
} from "./observation.ts"; // prettier-ignore
import type { FileTouch } from "./file-touched.ts";

/** What is wrong with a value, as "expected path to be ..., got ..."; undefined if nothing is. */
type Check = (value: unknown, path: string) => string | undefined;

interface Field<Optional extends boolean> {
  readonly optional: Optional;
  readonly check: Check;
}

type Fields = Readonly<Record<string, Field<boolean>>>;

type Shape<Type> = {
  readonly [Name in keyof Type]-?: Field<object extends Pick<Type, Name> ? true : false>;
};

function when(expected: string, holds: (value: unknown) => boolean): Check {
  return (value, path) => (holds(value) ? undefined : `expected ${path} to be ${expected}, got ${shown(value)}`);
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : String(value);
}

const isText = (value: unknown): boolean => typeof value === "string";
const isCount = (value: unknown): boolean => typeof value === "number" && Number.isFinite(value) && value >= 0;
const isPid = (value: unknown): boolean =>
  Number.isInteger(value) && isCount(value) && (value as number) <= 0xffff_ffff;

const TEXT = when("text", isText);
const COUNT = when("a number, 0 or more", isCount);
const PID = when("a process id", isPid);
const YES = when("true", (value) => value === true);
const YES_NO = when("true or false", (value) => typeof value === "boolean");
const ADDRESS = when("an address in hexadecimal", (value) => isText(value) && /^[0-9a-f]{1,16}$/.test(value as string));
/** The furthest a Date reaches. */
const TIME = when(
  "milliseconds since the epoch",
  (value) => typeof value === "number" && Number.isFinite(value) && Math.abs(value) <= 8.64e15,
);

const must = (check: Check): Field<false> => ({ optional: false, check });
const may = (check: Check): Field<true> => ({ optional: true, check });

function oneOf<Word extends string>(words: Readonly<Record<Word, true>>): Check {
  return when(
    `one of ${Object.keys(words).join(", ")}`,
    (value) => isText(value) && Object.hasOwn(words, value as string),
  );
}

function listOf(check: Check): Check {
  return (value, path) => {
    if (!Array.isArray(value)) return `expected ${path} to be an array, got ${shown(value)}`;
    for (const [index, each] of value.entries()) {
      const problem = check(each, `${path}[${index}]`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
}

function object(shape: Fields): Check {
  const fields = new Map(Object.entries(shape));
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return `expected ${path} to be an object, got ${shown(value)}`;
    const given = new Map(Object.entries(value));
    for (const name of given.keys()) {
      if (!fields.has(name)) return `${path} has a field ${JSON.stringify(name.slice(0, 40))} that it cannot have`;
    }
    for (const [name, { optional, check }] of fields) {
      if (optional && !given.has(name)) continue;
      const problem = check(given.get(name), `${path}.${name}`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
}

const FILE: Shape<FileId> = { dev: must(COUNT), inode: must(COUNT) };

const FILE_VERSION: Shape<FileVersion> = { ...FILE, size: must(COUNT), mtimeNs: must(TEXT) };

const PROCESS: Shape<Process> = {
  pid: must(PID),
  startTime: must(COUNT),
  parentPid: must(PID),
  comm: must(TEXT),
  kernelThread: must(YES_NO),
  uid: may(COUNT),
  euid: may(COUNT),
  gid: may(COUNT),
  threads: may(COUNT),
  tracerPid: may(PID),
  capabilities: may(TEXT),
  namespacePids: may(listOf(PID)),
  exe: may(TEXT),
  exeFile: may(object(FILE_VERSION)),
  cmdline: may(listOf(TEXT)),
  cgroup: may(TEXT),
  pidNamespace: may(COUNT),
  mountNamespace: may(COUNT),
};

const LOADER: Shape<NonNullable<Posture["loader"]>[number]> = { name: must(TEXT), paths: must(listOf(TEXT)) };

const POSTURE: Shape<Posture> = {
  coreLimit: may((value, path) => {
    const problem = listOf(TEXT)(value, path);
    return problem ?? when("a soft and a hard limit", (pair) => (pair as unknown[]).length === 2)(value, path);
  }),
  coredumpFilter: may(COUNT),
  procOwner: may(COUNT),
  loader: may(listOf(object(LOADER))),
  loaderCut: may(YES),
  libraryPath: may(YES),
};

const MAPPING: Shape<Mapping> = {
  start: must(ADDRESS),
  end: must(ADDRESS),
  permissions: must(TEXT),
  offset: must(COUNT),
  file: must(object(FILE)),
  path: must(TEXT),
};

const TRAITS: Shape<ExecutableTraits> = {
  imports: must(listOf(TEXT)),
  needed: must(listOf(TEXT)),
  marks: must(listOf(TEXT)),
};

const ISOLATION_CHANGE = {
  fact: must(TEXT),
  expected: may(TEXT),
  actual: may(TEXT),
  impossible: may(TEXT),
  verdict: may(
    oneOf<Verdict>({
      "one-bit fault in memory": true,
      "patched in memory": true,
      "corrupt page cache": true,
      "file changed on disk": true,
    }),
  ),
};

const PROC_FILE = oneOf<ProcFile>({
  mem: true, environ: true, maps: true, smaps: true, pagemap: true, map_files: true, auxv: true, stack: true,
  syscall: true, coredump_filter: true,
}); // prettier-ignore

const MEMORY_OPERATION = oneOf<MemoryOperation>({
  "vm-read": true, "vm-write": true, peek: true, poke: true, "mem-read": true, "mem-write": true, environ: true,
  cmdline: true, maps: true, pagemap: true, "map-files": true, advise: true, uprobe: true, bpf: true, move: true,
  unknown: true,
}); // prettier-ignore

const HEX = when("bytes in hexadecimal", (value) => isText(value) && /^(?:[0-9a-f]{2})*$/.test(value as string));

const PLACE = { name: must(TEXT), offset: must(COUNT) };
const CODE_CHANGE: Shape<CodeChange> = {
  address: must(ADDRESS),
  offset: must(COUNT),
  length: must(COUNT),
  found: must(HEX),
  expected: must(HEX),
  place: may(object(PLACE)),
};

const CALL = oneOf<Call>({
  attach: true, peek: true, poke: true, "registers-read": true, "registers-write": true, "vm-read": true,
  "vm-write": true, getfd: true, compare: true, perf: true, "core-limit": true, advise: true, dumpable: true,
  tracer: true, "bpf-load": true, "map-code": true, "map-file": true, probe: true,
}); // prettier-ignore

const ACCESS_CALL = oneOf<AccessCall>({
  ptrace: true, "vm-read": true, "vm-write": true, open: true, read: true, "pidfd-getfd": true, kcmp: true,
  advise: true, perf: true, move: true, setns: true, other: true,
}); // prettier-ignore

const FILE_TOUCH = oneOf<FileTouch>({ created: true, removed: true, written: true, attributes: true, moved: true });

const HEAD = { kind: must(TEXT), at: must(TIME), sensor: must(TEXT) };
const ID = { pid: must(PID), startTime: must(COUNT) };

const SHAPES: { readonly [Kind in Observation["kind"]]: Shape<ObservationOf<Kind>> } = {
  "process.seen": { ...HEAD, process: must(object(PROCESS)), by: must(oneOf({ scan: true, exec: true, act: true })) },
  "unlinked.executed": { ...HEAD, ...ID, name: must(TEXT) },
  "upper.executed": { ...HEAD, ...ID, name: must(TEXT) },
  "process.forked": { ...HEAD, pid: must(PID), parentPid: must(PID) },
  "process.exited": {
    ...HEAD,
    pid: must(PID),
    startTime: may(COUNT),
    exitCode: may(COUNT),
    signal: may(COUNT),
    dumped: may(YES_NO),
  },
  "ptrace.attached": { ...HEAD, pid: must(PID), tid: must(PID), tracerPid: must(PID), startTime: may(COUNT) },
  "ptrace.detached": { ...HEAD, pid: must(PID), tid: must(PID) },
  "procfs.accessed": {
    ...HEAD,
    file: must(PROC_FILE),
    access: must(oneOf({ open: true, read: true, write: true, held: true })),
    pid: must(PID),
    targetPid: may(PID),
    targetStartTime: may(COUNT),
    targetTid: may(PID),
    path: must(TEXT),
    ownMount: must(YES_NO),
  },
  "memory.touched": {
    ...HEAD,
    ...ID,
    operation: must(MEMORY_OPERATION),
    byPid: must(PID),
    byTid: must(PID),
    byExeFile: may(object({ dev: must(COUNT), inode: must(COUNT) })),
    action: must(oneOf({ seen: true, killed: true, "not-killed": true, asleep: true })),
    suppressed: must(COUNT),
  },
  "call.made": {
    ...HEAD,
    call: must(CALL),
    pid: may(PID),
    tid: may(PID),
    startTime: may(COUNT),
    byPid: must(PID),
    byTid: must(PID),
    argument: may(TEXT),
    suppressed: must(COUNT),
  },
  "signal.sent": { ...HEAD, ...ID, signal: must(COUNT), byPid: may(PID), byTid: may(PID), suppressed: must(COUNT) },
  "access.checked": {
    ...HEAD,
    ...ID,
    tid: must(PID),
    byPid: must(PID),
    byTid: must(PID),
    call: must(ACCESS_CALL),
    attach: must(YES_NO),
    action: must(oneOf({ seen: true, refused: true, asleep: true })),
    suppressed: must(COUNT),
  },
  "machine-memory.opened": {
    ...HEAD,
    memory: must(oneOf({ kcore: true, device: true })),
    access: must(oneOf({ open: true, read: true, write: true })),
    pid: must(PID),
    tid: may(PID),
    path: may(TEXT),
    action: must(oneOf({ seen: true, refused: true, asleep: true })),
    suppressed: must(COUNT),
  },
  "sysctl.written": {
    ...HEAD,
    name: must(TEXT),
    pid: must(PID),
    action: may(oneOf({ seen: true, refused: true, asleep: true })),
    value: may(TEXT),
    suppressed: may(COUNT),
  },
  "setting.seen": {
    ...HEAD,
    setting: must(
      oneOf<ObservationOf<"setting.seen">["setting"]>({
        "kernel.core_pattern": true,
        "fs.suid_dumpable": true,
        "kernel.yama.ptrace_scope": true,
        "/etc/ld.so.preload": true,
      }),
    ),
    value: may(TEXT),
  },
  "process.dumping": { ...HEAD, pid: must(PID), tid: must(PID) },
  "posture.seen": { ...HEAD, ...ID, posture: must(object(POSTURE)) },
  "maps.seen": { ...HEAD, ...ID, digest: must(TEXT), mappings: must(listOf(object(MAPPING))) },
  "code-page.seen": {
    ...HEAD,
    ...ID,
    page: must(ADDRESS),
    size: must(COUNT),
    permissions: must(TEXT),
    path: must(TEXT),
    file: must(object(FILE)),
    offset: must(COUNT),
    differing: may(COUNT),
    changes: may(listOf(object(CODE_CHANGE))),
    machine: may(oneOf<Machine>({ x86: true, "x86-64": true, arm64: true })),
  },
  "baseline.refused": {
    ...HEAD,
    of: must(oneOf<BaselineOf>({ isolation: true, files: true, executables: true })),
    path: must(TEXT),
    code: must(TEXT),
    message: must(TEXT),
    using: must(oneOf({ "last-good": true, none: true })),
  },
  "isolation.changed": {
    ...HEAD,
    subsystem: must(TEXT),
    change: must(oneOf({ changed: true, malformed: true, gone: true })),
    pid: may(PID),
    startTime: may(COUNT),
    message: must(TEXT),
    changes: must(listOf(object(ISOLATION_CHANGE))),
    evidence: must(listOf(object({ text: must(TEXT), expected: may(TEXT), actual: may(TEXT) }))),
  },
  "file.touched": {
    ...HEAD,
    change: must(FILE_TOUCH),
    did: may(listOf(FILE_TOUCH)),
    path: must(TEXT),
    pathHex: may(HEX),
    from: may(TEXT),
    folder: must(YES_NO),
    container: may(TEXT),
    crossed: may(oneOf({ out: true, in: true })),
    pid: may(PID),
    startTime: may(COUNT),
    unnamed: may(TEXT),
    count: must(COUNT),
    files: may(object({ count: must(COUNT), names: must(listOf(TEXT)) })),
    asBefore: may(YES_NO),
  },
  "packages.changed": {
    ...HEAD,
    ...ID,
    database: may(TEXT),
    manager: must(TEXT),
    files: must(COUNT),
    verified: must(COUNT),
    owned: must(COUNT),
    packages: must(listOf(TEXT)),
    differing: must(listOf(TEXT)),
    differingCount: must(COUNT),
    strange: must(listOf(TEXT)),
    strangeCount: must(COUNT),
  },
  "file.changed": {
    ...HEAD,
    change: must(oneOf({ added: true, removed: true, changed: true, moved: true, unreadable: true, unstable: true })),
    path: must(TEXT),
    pathHex: may(HEX),
    from: may(TEXT),
    fileType: may(TEXT),
    mode: may(TEXT),
    attributes: must(listOf(object({ attribute: must(TEXT), before: may(TEXT), after: may(TEXT) }))),
    group: must(TEXT),
    rule: may(TEXT),
    sha256: may(HEX),
    reason: may(TEXT),
    actor: may(object({ pid: must(PID), startTime: may(COUNT), comm: may(TEXT), exe: may(TEXT) })),
  },
  "exec.judged": {
    ...HEAD,
    pid: may(PID),
    startTime: may(COUNT),
    uid: must(PID),
    mode: must(oneOf<GateMode>({ learn: true, audit: true, enforce: true })),
    reason: must(
      oneOf<GateReason>({
        rule: true,
        "written-to": true,
        deadline: true,
        "too-large": true,
        unreadable: true,
        "no-lease": true,
        unmarked: true,
        busy: true,
      }),
    ),
    rule: may(TEXT),
    denied: must(YES_NO),
    opened: must(YES_NO),
    path: must(TEXT),
    by: must(TEXT),
    sha256: may(TEXT),
    file: must(object({ dev: must(COUNT), inode: must(COUNT), size: must(COUNT), owner: must(PID) })),
    error: may(TEXT),
  },
  "gate.gap": {
    ...HEAD,
    since: must(TIME),
    mode: must(oneOf<GateMode>({ learn: true, audit: true, enforce: true })),
    orderly: must(YES_NO),
  },
  "uprobe.seen": {
    ...HEAD,
    ...ID,
    path: must(TEXT),
    file: must(object(FILE)),
    probes: must(listOf(object({ offset: must(COUNT), place: may(object(PLACE)), returns: must(YES_NO) }))),
    count: must(COUNT),
    by: must(oneOf({ perf: true, link: true, event: true })),
    name: may(TEXT),
    byPid: may(PID),
    byStartTime: may(COUNT),
  },
  "key-file.held": { ...HEAD, ...ID, path: must(TEXT) },
  "executable.identified": {
    ...HEAD,
    file: must(object(FILE_VERSION)),
    path: must(TEXT),
    traits: must(object(TRAITS)),
    sha256: may(TEXT),
    changedNs: may(TEXT),
  },
  "own-file.changed": {
    ...HEAD,
    path: must(TEXT),
    role: must(oneOf({ program: true, configuration: true, audit: true, key: true })),
    change: must(oneOf({ written: true, replaced: true, removed: true, mode: true, truncated: true })),
    pid: may(PID),
  },
  "procfs.mounted": {
    ...HEAD,
    path: must(TEXT),
    dev: must(COUNT),
    mountNamespace: may(COUNT),
    marked: must(YES_NO),
    reason: may(TEXT),
  },
  "sensor.state": {
    ...HEAD,
    state: must(oneOf({ live: true, degraded: true, down: true, unavailable: true, off: true })),
    reason: may(TEXT),
  },
  "sensor.lost": { ...HEAD, count: may(COUNT), reason: must(TEXT) },
  "self.troubled": {
    ...HEAD,
    part: must(
      oneOf({
        audit: true,
        spool: true,
        action: true,
        inspector: true,
        enforce: true,
        recording: true,
        output: true,
        pass: true,
      }),
    ),
    message: must(TEXT),
    recovered: must(YES_NO),
  },
  tick: HEAD,
};

const CHECKS: ReadonlyMap<string, Check> = new Map(
  Object.entries<Fields>(SHAPES).map(([kind, shape]) => [kind, object(shape)]),
);

/** Why a value is no observation, as a sentence; undefined if it is one. */
export function observationProblem(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return `expected an observation, got ${shown(value)}`;
  const { kind } = value as Record<string, unknown>;
  const check = typeof kind === "string" ? CHECKS.get(kind) : undefined;
  if (check === undefined) return `expected the kind of an observation, got ${shown(kind)}`;
  return check(value, String(kind));
}

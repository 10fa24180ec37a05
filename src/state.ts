// What is true of this host now, as far as it was observed. Changed only by apply(); has no clock and no I/O: time
// comes with the observations. Every collection has a bound.

import {
  type AccessCall,
  type ExecutableIdentified,
  type ExecutableTraits,
  type FileVersion,
  type Mapping,
  type MapsSeen,
  type MemoryOperation,
  type MemoryTouched,
  type Observation,
  type SignalSent,
  type Posture,
  type Process,
  type ProcessForked,
  type ProcessSeen,
} from "./observation.ts";
import type { Actor } from "./finding.ts";

/** Exited processes are remembered this long, so that an event that names one still finds it. */
const REMEMBER_EXITED_MS = 60_000;
const MAX_EXITED = 8_192;
const MAX_FORKS = 65_536;
const MAX_EXECUTABLES = 8_192;
/** Until then a fresh address space may grow libraries without that being a change. */
const SETTLE_MS = 3_000;
const MAX_ANCESTRY = 32;
const MAX_DONE = 4_096;
/** What was asked for and what was seen done are one act within this time. */
const SAME_ACT_MS = 1_000;
/** The start time of a process that was not read, or not yet. */
export const UNREAD_START = -1;

export interface MapsKnown {
  readonly digest: string;
  readonly mappings: readonly Mapping[];
  /** When the first view of this address space was taken. */
  readonly since: number;
  /**
   * What the latest view has and the one before had not; while the process settles, of that only what is writable and
   * executable at once, which no loader leaves behind.
   */
  readonly added: readonly Mapping[];
  /** This is the first view: what is there may have been there for long. */
  readonly first: boolean;
}

export interface PostureKnown {
  readonly current: Posture;
  /** The view before the current one; undefined at the first. */
  readonly previous?: Posture;
}

/** A process and what is known of it. Replaced on exec where it no longer holds. */
export interface KnownProcess {
  process: Process;
  /** Why it is protected; undefined if it is not. */
  protectedBy: string | undefined;
  holdsKeyFile: boolean;
  posture: PostureKnown | undefined;
  maps: MapsKnown | undefined;
  /** When its latest exec was observed. */
  execAt: number | undefined;
  exitedAt: number | undefined;
}

export interface ExecutableKnown {
  readonly path: string;
  readonly traits: ExecutableTraits;
  readonly sha256?: string;
}

export interface SettingKnown {
  readonly value: string | undefined;
  readonly previous: string | undefined;
  /** True for the first reading: there is nothing to compare it with. */
  readonly first: boolean;
}

export interface Write {
  readonly pid: number;
  readonly at: number;
}

/** Says why a process is protected, or undefined. */
export type Protection = (process: Process, facts: { readonly holdsKeyFile: boolean }) => string | undefined;

export function fileKey({ dev, inode, size, mtimeNs }: FileVersion): string {
  return `${dev}:${inode}:${size}:${mtimeNs}`;
}

export class State {
  #protection: Protection;
  readonly #processes = new Map<number, KnownProcess>();
  readonly #exited = new Map<number, KnownProcess>();
  readonly #parents = new Map<number, number>();
  /** Children of protected processes that nobody has read yet: until then each is what its parent was. */
  readonly #unread = new Map<number, { readonly parent: KnownProcess; readonly at: number }>();
  readonly #protected = new Set<number>();
  readonly #executables = new Map<string, ExecutableKnown>();
  readonly #settings = new Map<string, SettingKnown>();
  readonly #writes = new Map<string, Write>();
  /** When what was seen done to whom by whom. */
  readonly #done = new Map<string, number>();
  /** The latest of each protected process. */
  readonly #signals = new Map<string, SignalSent>();

  constructor(protection: Protection) {
    this.#protection = protection;
  }

  apply(observation: Observation): void {
    switch (observation.kind) {
      case "process.seen":
        return this.#seen(observation);
      case "process.forked":
        return this.#forked(observation);
      case "process.exited":
        return this.#gone(observation.pid, observation.startTime, observation.at);
      case "ptrace.attached":
        return this.#remember(observation.tracerPid, "attach", observation.pid, observation.at);
      case "memory.touched":
        this.#remember(observation.byPid, observation.operation, observation.pid, observation.at);
        return this.#named(observation);
      case "access.checked":
        return this.#remember(
          observation.byPid,
          observation.call === "ptrace" ? "attach" : observation.call,
          observation.pid,
          observation.at,
        );
      case "signal.sent":
        this.#signals.set(`${observation.pid} ${observation.signal}`, observation);
        return evictOldest(this.#signals, MAX_DONE);
      case "posture.seen": {
        const known = this.find(observation.pid, observation.startTime);
        if (known === undefined) return;
        const previous = known.posture?.current;
        const current = { ...observation.posture, ...(previous && keptOf(previous, observation.posture)) };
        known.posture = { current, ...(previous === undefined ? {} : { previous }) };
        return;
      }
      case "maps.seen":
        return this.#mapped(observation);
      case "key-file.held": {
        const known = this.find(observation.pid, observation.startTime);
        if (known === undefined || known.holdsKeyFile) return;
        known.holdsKeyFile = true;
        return this.#protect(known);
      }
      case "executable.identified":
        return this.#identified(observation);
      case "setting.seen": {
        const known = this.#settings.get(observation.setting);
        this.#settings.set(observation.setting, {
          value: observation.value,
          previous: known?.value,
          first: known === undefined,
        });
        return;
      }
      case "sysctl.written":
        if (observation.action === "refused") return;
        this.#writes.set(observation.name, { pid: observation.pid, at: observation.at });
        return evictOldest(this.#writes, 256);
      case "tick":
        return this.#retire(observation.at);
    }
  }

  /** Judges every process anew: the configuration says otherwise who is protected. */
  protectBy(protection: Protection): void {
    this.#protection = protection;
    for (const known of this.#processes.values()) this.#protect(known);
  }

  /** The process that has this pid now, or had it until recently. With a start time: exactly that one. */
  find(pid: number, startTime?: number): KnownProcess | undefined {
    const current = this.#processes.get(pid);
    if (current !== undefined && (startTime === undefined || current.process.startTime === startTime)) return current;
    const unread = this.#unread.get(pid);
    if (unread !== undefined) return childOf(unread.parent, pid, startTime);
    const exited = this.#exited.get(pid);
    if (exited !== undefined && (startTime === undefined || exited.process.startTime === startTime)) return exited;
    return undefined;
  }

  isProtected(pid: number, startTime?: number): boolean {
    return this.find(pid, startTime)?.protectedBy !== undefined;
  }

  /** Live protected processes. */
  *protectedProcesses(): Generator<KnownProcess> {
    for (const pid of this.#protected) {
      const known = this.#processes.get(pid);
      if (known !== undefined) yield known;
    }
  }

  /** Every live process. */
  processes(): IterableIterator<KnownProcess> {
    return this.#processes.values();
  }

  /** Who runs this file, or did until recently: a tool may be gone before its file is read. */
  *processesOf(file: FileVersion): Generator<KnownProcess> {
    const key = fileKey(file);
    for (const processes of [this.#processes, this.#exited]) {
      for (const known of processes.values()) {
        const { exeFile } = known.process;
        if (exeFile?.inode === file.inode && fileKey(exeFile) === key) yield known;
      }
    }
  }

  /** The live process that a pid of another pid namespace means. */
  findInNamespace(pidNamespace: number, pid: number): KnownProcess | undefined {
    for (const known of this.#processes.values()) {
      const { process } = known;
      if (process.pidNamespace === pidNamespace && process.namespacePids?.at(-1) === pid) return known;
    }
    return undefined;
  }

  executable(file: FileVersion | undefined): ExecutableKnown | undefined {
    return file === undefined ? undefined : this.#executables.get(fileKey(file));
  }

  setting(name: string): SettingKnown | undefined {
    return this.#settings.get(name);
  }

  /** Who last wrote a sysctl, if that was seen. */
  lastWrite(name: string): Write | undefined {
    return this.#writes.get(name);
  }

  /** Whether this was told just now as done or as refused, and not only as a call: "attach", or how memory was touched. */
  wasDone(byPid: number, what: MemoryOperation | "attach", pid: number, at: number): boolean {
    const done = this.#done.get(`${byPid} ${what} ${pid}`);
    return done !== undefined && Math.abs(at - done) <= SAME_ACT_MS;
  }

  /** The latest of these signals that another sent to this process, if that was seen. */
  lastSignal(pid: number, signals: Iterable<number>): SignalSent | undefined {
    const known = this.find(pid)?.process.startTime;
    let latest: SignalSent | undefined;
    for (const signal of signals) {
      const sent = this.#signals.get(`${pid} ${signal}`);
      // An earlier owner of the pid may have been sent one, too.
      if (sent === undefined || (known !== undefined && known !== UNREAD_START && known !== sent.startTime)) continue;
      if (latest === undefined || sent.at > latest.at) latest = sent;
    }
    return latest;
  }

  /** A process and its parents, nearest first, as far as each was read; each may be gone by now. */
  lineage(pid: number, startTime?: number): Process[] {
    const process = this.find(pid, startTime)?.process;
    return [
      ...(process === undefined ? [] : [process]),
      ...this.ancestry(pid, startTime).flatMap((each) => this.find(each.pid, each.startTime)?.process ?? []),
    ];
  }

  /** Parents of a process, nearest first, as they were observed: each may be gone by now. */
  ancestry(pid: number, startTime?: number): NonNullable<Actor["ancestry"]> {
    const chain: { pid: number; startTime?: number; comm: string }[] = [];
    const met = new Set([pid]);
    let child = this.find(pid, startTime)?.process;
    let parent = child?.parentPid ?? this.#parents.get(pid);
    while (parent !== undefined && parent > 0 && !met.has(parent) && chain.length < MAX_ANCESTRY) {
      met.add(parent);
      const known = this.#notAfter(parent, child?.startTime);
      chain.push(
        known === undefined ? { pid: parent, comm: "" } : { pid: parent, startTime: known.startTime, comm: known.comm },
      );
      child = known;
      parent = known?.parentPid ?? this.#parents.get(parent);
    }
    return chain;
  }

  /** The process of this pid that can be a parent: one that began after its child has only taken over the pid. */
  #notAfter(pid: number, startTime: number | undefined): Process | undefined {
    const candidates = [this.#processes.get(pid)?.process, this.#exited.get(pid)?.process];
    return candidates.find((each) => each !== undefined && (startTime === undefined || each.startTime <= startTime));
  }

  /** A process as a finding names it. */
  actor(pid: number, startTime?: number): Actor {
    const process = this.find(pid, startTime)?.process;
    // Gone before it could be read: its forebears are known all the same if its fork was told.
    if (process === undefined)
      return { pid, startTime: startTime ?? UNREAD_START, comm: "", ancestry: this.ancestry(pid, startTime) };
    return {
      pid: process.pid,
      startTime: process.startTime,
      comm: process.comm,
      ...(process.exe === undefined ? {} : { exe: process.exe }),
      ...(process.exeFile === undefined ? {} : { exeFile: { dev: process.exeFile.dev, inode: process.exeFile.inode } }),
      ...(process.uid === undefined ? {} : { uid: process.uid }),
      ...(process.cmdline === undefined ? {} : { cmdline: process.cmdline }),
      ...(process.cgroup === undefined ? {} : { cgroup: process.cgroup }),
      ancestry: this.ancestry(pid, process.startTime),
    };
  }

  #remember(byPid: number, what: MemoryOperation | AccessCall | "attach", pid: number, at: number): void {
    this.#done.set(`${byPid} ${what} ${pid}`, at);
    evictOldest(this.#done, MAX_DONE);
  }

  #forked({ pid, parentPid, at }: ProcessForked): void {
    this.#parents.set(pid, parentPid);
    evictOldest(this.#parents, MAX_FORKS);
    this.#unread.delete(pid);
    const parent = this.find(parentPid);
    // A pass may have read the child before its fork was told.
    if (parent?.protectedBy === undefined || this.#processes.has(pid)) return;
    this.#unread.set(pid, { parent, at });
    evictOldest(this.#unread, MAX_FORKS);
  }

  #seen({ process, by, at }: ProcessSeen): void {
    const current = this.#processes.get(process.pid);
    const same = current !== undefined && current.process.startTime === process.startTime;
    const exited = this.#exited.get(process.pid);
    const left = exited?.process.startTime === process.startTime ? exited.exitedAt : undefined;
    // Who is named in an act may be a zombie by the time it is read; no further exit would be told of it.
    if (by === "act" && left !== undefined) return;
    if (by === "scan") {
      // A pass over /proc takes milliseconds: what an event said meanwhile is newer.
      if (same && (current.execAt ?? 0) > at) return;
      if (left !== undefined && left >= at) return;
      if (!same && current !== undefined && current.process.startTime > process.startTime) return;
    }
    if (!same && current !== undefined) this.#gone(process.pid, undefined, at);

    if (same) {
      const replaced = by === "exec" || differentFile(current.process, process);
      // A reading that asked for less leaves what is known.
      current.process = replaced ? process : { ...current.process, ...process };
      if (replaced) {
        current.execAt = at;
        current.posture = undefined;
        current.maps = undefined;
        current.holdsKeyFile = false;
      }
      return this.#protect(current);
    }
    this.#unread.delete(process.pid);
    const known: KnownProcess = {
      process,
      protectedBy: undefined,
      holdsKeyFile: false,
      posture: undefined,
      maps: undefined,
      execAt: by === "exec" ? at : undefined,
      exitedAt: undefined,
    };
    this.#processes.set(process.pid, known);
    this.#protect(known);
  }

  #protect(known: KnownProcess): void {
    const { process } = known;
    known.protectedBy = process.kernelThread
      ? undefined
      : this.#protection(process, { holdsKeyFile: known.holdsKeyFile });
    if (known.protectedBy === undefined) this.#protected.delete(process.pid);
    else this.#protected.add(process.pid);
  }

  #gone(pid: number, startTime: number | undefined, at: number): void {
    const known = this.#processes.get(pid);
    if (known === undefined || (startTime !== undefined && known.process.startTime !== startTime)) return;
    this.#processes.delete(pid);
    this.#protected.delete(pid);
    known.exitedAt = at;
    this.#exited.delete(pid);
    this.#exited.set(pid, known);
    evictOldest(this.#exited, MAX_EXITED);
  }

  /** Who was killed could not be read any more, but whoever runs the same file could be. */
  #named({ byPid, byExeFile }: MemoryTouched): void {
    const known = this.#processes.get(byPid) ?? this.#exited.get(byPid);
    if (byExeFile === undefined || known === undefined || known.process.exe !== undefined) return;
    const isIt = ({ exeFile }: Process): boolean => exeFile?.inode === byExeFile.inode && exeFile.dev === byExeFile.dev;
    const parent = this.#notAfter(known.process.parentPid, known.process.startTime);
    const twin = [parent, ...this.#everybody()].find((each) => each !== undefined && isIt(each));
    if (twin?.exe === undefined || twin.exeFile === undefined) return;
    const { exe, exeFile, cmdline } = twin;
    // A child that was forked and ran nothing of its own has its parent's words, too.
    const words = twin === parent && known.process.cmdline === undefined && cmdline !== undefined ? { cmdline } : {};
    known.process = { ...known.process, exe, exeFile, ...words };
  }

  *#everybody(): Generator<Process> {
    for (const processes of [this.#processes, this.#exited])
      for (const { process } of processes.values()) yield process;
  }

  #mapped({ pid, startTime, digest, mappings, at }: MapsSeen): void {
    const known = this.find(pid, startTime);
    if (known === undefined) return;
    const before = known.maps;
    const settling = before === undefined || at - before.since < SETTLE_MS;
    known.maps = {
      digest,
      mappings,
      since: before?.since ?? at,
      added: addedMappings(before?.mappings ?? this.#inherited(known), mappings).filter(
        ({ permissions }) => !settling || (permissions.includes("w") && permissions.includes("x")),
      ),
      first: before === undefined,
    };
  }

  /** What a process that was forked and ran nothing of its own has from its parent. */
  #inherited({ process, execAt }: KnownProcess): readonly Mapping[] {
    return execAt === undefined ? (this.#processes.get(process.parentPid)?.maps?.mappings ?? []) : [];
  }

  #identified({ file, path, traits, sha256 }: ExecutableIdentified): void {
    const key = fileKey(file);
    this.#executables.delete(key);
    this.#executables.set(key, { path, traits, ...(sha256 === undefined ? {} : { sha256 }) });
    evictOldest(this.#executables, MAX_EXECUTABLES);
  }

  #retire(now: number): void {
    for (const [pid, known] of this.#exited) {
      if (now - (known.exitedAt ?? 0) < REMEMBER_EXITED_MS) break;
      this.#exited.delete(pid);
    }
    for (const [pid, { at }] of this.#unread) {
      if (now - at < REMEMBER_EXITED_MS) break;
      this.#unread.delete(pid);
    }
    for (const pid of this.#parents.keys()) {
      if (this.#processes.has(pid)) this.#parents.delete(pid);
    }
  }
}

/** What a preloaded library may have erased by the later reading. */
function keptOf({ loader = [], loaderCut, libraryPath }: Posture, now: Posture): Partial<Posture> {
  return {
    ...(loader.length > (now.loader ?? []).length ? { loader } : {}),
    ...(loaderCut === undefined ? {} : { loaderCut }),
    ...(libraryPath === undefined ? {} : { libraryPath }),
  };
}

/** A process that was forked and not read yet; without a start time the caller's is as good as any. */
function childOf(parent: KnownProcess, pid: number, startTime: number = UNREAD_START): KnownProcess {
  const process = { ...parent.process, pid, parentPid: parent.process.pid, startTime };
  return { ...parent, process, posture: undefined, maps: undefined, execAt: undefined, exitedAt: undefined };
}

function differentFile(before: Process, after: Process): boolean {
  if (before.exeFile === undefined || after.exeFile === undefined) return false;
  return before.exeFile.dev !== after.exeFile.dev || before.exeFile.inode !== after.exeFile.inode;
}

/** Mappings are the same if what they show is: addresses alone do not make a change. */
function addedMappings(before: readonly Mapping[], after: readonly Mapping[]): Mapping[] {
  const known = new Map<string, number>();
  for (const mapping of before) {
    const shape = shapeOf(mapping);
    known.set(shape, (known.get(shape) ?? 0) + 1);
  }
  return after.filter((mapping) => {
    const shape = shapeOf(mapping);
    const left = known.get(shape) ?? 0;
    if (left === 0) return true;
    known.set(shape, left - 1);
    return false;
  });
}

function shapeOf({ start, end, permissions, offset, file, path }: Mapping): string {
  // An anonymous mapping has nothing but its place; a file's may move on exec only, which starts anew.
  if (path === "" || path.startsWith("[")) return `${permissions} ${path === "" ? start : path}`;
  return `${permissions} ${offset} ${file.dev}:${file.inode} ${path} ${BigInt(`0x${end}`) - BigInt(`0x${start}`)}`;
}

function evictOldest<Key, Value>(map: Map<Key, Value>, limit: number): void {
  while (map.size > limit) {
    const oldest = map.keys().next();
    if (oldest.done === true) return;
    map.delete(oldest.value);
  }
}

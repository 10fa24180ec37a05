// Every procfs in reach has its mark: the one at /proc, those in other mount namespaces, and those mounted later. Each
// mount of procfs is a superblock of its own (since Linux 5.8), so each is another way to a process's memory.

import { readFile } from "node:fs/promises";
import { readlinkSync, statSync } from "node:fs";
import { reasonOf } from "../errors.ts";
import type { Watch } from "../native.ts";
import type { Observation } from "../observation.ts";
import { deviceOf } from "../mountinfo.ts";
import { procfsMounts, type ProcfsMount } from "./procfs-mounts.ts";
import type { SensorContext } from "./sensor.ts";

const MAX_NAMESPACES = 1_024;

/** The procfs an event came from. */
export interface ProcfsPlace {
  /** True for the procfs at our own /proc. */
  readonly own: boolean;
  /** True if its pids are those of our own pid namespace. */
  readonly ownPids: boolean;
  readonly pidNamespace: number;
}

export interface ProcfsMarks {
  start(): Promise<void>;
  pass(): Promise<void>;
  /** The mount table watched under this id changed. */
  changed(id: number): void;
  notice(observation: Observation): void;
  place(dev: number): ProcfsPlace | undefined;
  /** Paths of procfs mounts that could not be marked. */
  unmarked(): string[];
  stop(): Promise<void>;
}

interface Namespace {
  readonly id: number;
  /** Live processes seen in it: any of them gives access to its mount table. */
  readonly pids: Set<number>;
  watched: boolean;
}

export function createProcfsMarks(context: SensorContext, watch: Watch, sensor: string): ProcfsMarks {
  const ownMountNamespace = namespaceOf("self", "mnt");
  const ownPidNamespace = namespaceOf("self", "pid");
  const ownDev = statSync("/proc").dev;
  const namespaces = new Map<number, Namespace>();
  const marked = new Map<string, ProcfsPlace & { readonly dev: number }>();
  const refused = new Map<string, string>();
  let beyondBound = 0;
  let starting = true;
  let work = Promise.resolve();

  function enter(mountNamespace: number, pid: number): void {
    const known = namespaces.get(mountNamespace);
    if (known !== undefined) {
      known.pids.add(pid);
      return;
    }
    if (namespaces.size >= MAX_NAMESPACES) {
      beyondBound++;
      return;
    }
    namespaces.set(mountNamespace, { id: mountNamespace, pids: new Set([pid]), watched: false });
    lookLater(mountNamespace);
  }

  function lookLater(mountNamespace: number): void {
    work = work
      .then(() => look(mountNamespace))
      .catch(
        (thrown: unknown) =>
          void refused.set(`namespace ${mountNamespace}`, `mount namespace ${mountNamespace}: ${reasonOf(thrown)}`),
      );
  }

  /** Reads the namespace's mount table and marks what is new in it. */
  async function look(mountNamespace: number): Promise<void> {
    const namespace = namespaces.get(mountNamespace);
    if (namespace === undefined) return;
    for (const pid of namespace.pids) {
      const who = mountNamespace === ownMountNamespace ? "self" : String(pid);
      let text: string;
      try {
        if (namespaceOf(who, "mnt") !== mountNamespace) throw new Error("it has moved to another namespace");
        if (!namespace.watched) {
          // Watched before it is read: what is mounted in between is told.
          watch.watchMounts(`/proc/${who}/mountinfo`, mountNamespace);
          namespace.watched = true;
        }
        text = await readFile(`/proc/${who}/mountinfo`, "utf8");
      } catch {
        namespace.pids.delete(pid);
        continue;
      }
      const mounts = procfsMounts(text);
      forgetUnmounted(
        mountNamespace,
        mounts.map(({ device }) => device),
      );
      const reached = mounts.every((mount) => mark(mountNamespace, mount, who));
      if (reached) return;
      namespace.pids.delete(pid);
    }
    leave(namespace);
  }

  /** False if `who`, by whose root the mount is reached, ended or left the namespace meanwhile. */
  function mark(mountNamespace: number, { device, paths }: ProcfsMount, who: string): boolean {
    seenIn(mountNamespace, device);
    if (marked.has(device)) return true;
    let problem: { readonly path: string; readonly reason: string } | undefined;
    for (const path of paths) {
      try {
        const { dev, pidNamespace } = watch.markProcfs(who === "self" ? path : `/proc/${who}/root${path}`);
        // Another procfs lies over it: that one is marked under its own device, and this one no path leads to.
        if (deviceOf(dev) !== device) continue;
        const place = { dev, own: dev === ownDev, ownPids: pidNamespace === ownPidNamespace, pidNamespace };
        marked.set(device, place);
        refused.delete(device);
        if (!starting && !place.own) tell(mountNamespace, path, dev, undefined);
        return true;
      } catch (thrown) {
        if (!isIn(mountNamespace, who)) return false;
        if (!leadsElsewhere(thrown)) problem ??= { path, reason: reasonOf(thrown) };
      }
    }
    if (problem === undefined) return true;
    const told = `${problem.path}: ${problem.reason}`;
    if (refused.get(device) === told) return true;
    refused.set(device, told);
    tell(mountNamespace, problem.path, 0, problem.reason);
    return true;
  }

  function tell(mountNamespace: number, path: string, dev: number, reason: string | undefined): void {
    context.emit({
      kind: "procfs.mounted",
      at: context.now(),
      sensor,
      path,
      dev,
      mountNamespace,
      marked: reason === undefined,
      ...(reason === undefined ? {} : { reason }),
    });
  }

  const devicesOf = new Map<number, Set<string>>();
  function seenIn(mountNamespace: number, device: string): void {
    const devices = devicesOf.get(mountNamespace) ?? new Set();
    devicesOf.set(mountNamespace, devices.add(device));
  }

  /** A mark keeps nothing mounted, but what it stands on must be let go when the last mount of it is gone. */
  function forgetUnmounted(mountNamespace: number, present: readonly string[]): void {
    const before = devicesOf.get(mountNamespace) ?? new Set();
    devicesOf.set(mountNamespace, new Set(present));
    for (const device of before) {
      if ([...devicesOf.values()].some((devices) => devices.has(device))) continue;
      refused.delete(device);
      const place = marked.get(device);
      if (place === undefined) continue;
      marked.delete(device);
      watch.unmarkProcfs(place.dev);
    }
  }

  function leave(namespace: Namespace): void {
    forgetUnmounted(namespace.id, []);
    devicesOf.delete(namespace.id);
    namespaces.delete(namespace.id);
    if (namespace.watched) watch.unwatchMounts(namespace.id);
  }

  return {
    async start() {
      if (ownMountNamespace === undefined) throw new Error("/proc/self/ns/mnt cannot be read");
      enter(ownMountNamespace, process.pid);
      await work;
      starting = false;
    },
    async pass() {
      for (const namespace of namespaces.values()) {
        if (namespace.pids.size === 0 && namespace.id !== ownMountNamespace) leave(namespace);
      }
      await work;
    },
    changed(id) {
      lookLater(id);
    },
    notice(observation) {
      if (observation.kind === "process.seen" && observation.process.mountNamespace !== undefined) {
        enter(observation.process.mountNamespace, observation.process.pid);
      } else if (observation.kind === "process.exited") {
        for (const { id, pids } of namespaces.values()) {
          if (id !== ownMountNamespace) pids.delete(observation.pid);
        }
      }
    },
    place: (dev) => {
      for (const place of marked.values()) if (place.dev === dev) return place;
      return undefined;
    },
    unmarked: () => [
      ...refused.values(),
      ...(beyondBound === 0 ? [] : [`${beyondBound} processes in mount namespaces beyond the first ${MAX_NAMESPACES}`]),
    ],
    async stop() {
      await work;
    },
  };
}

/** Another file system lies over the procfs (ENODEV), or over a folder above it. */
function leadsElsewhere(thrown: unknown): boolean {
  const { code } = thrown as NodeJS.ErrnoException;
  return code === "ENODEV" || code === "ENOENT" || code === "ENOTDIR";
}

function isIn(mountNamespace: number, who: string): boolean {
  try {
    return namespaceOf(who, "mnt") === mountNamespace;
  } catch {
    return false;
  }
}

function namespaceOf(pid: string, kind: "mnt" | "pid"): number | undefined {
  const digits = /\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/${kind}`))?.[1];
  return digits === undefined ? undefined : Number(digits);
}

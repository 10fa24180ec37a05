// Tells the kernel whose memory is protected, what of it is refused and to which executables it is not, and keeps it
// told: the programs of native/bpf/memory.bpf.c follow fork, exec and exit by themselves, and this follows what the
// configuration means.

import { stat } from "node:fs/promises";
import type { Watch } from "../native.ts";
import type { ExecutableIdentified, Observation } from "../observation.ts";
import { MEMORY_OPERATION } from "../record.ts";
import type { SensorContext } from "./sensor.ts";

const RULE = "memory-read";
/** Reading and writing, and nothing that ps, top or systemd do all day. */
const OPERATIONS: Readonly<Record<string, readonly (keyof typeof MEMORY_OPERATION)[]>> = {
  [RULE]: ["vm-read", "vm-write", "peek", "poke", "mem-read", "mem-write", "bpf"],
};

/** Of a child that was forked and not read yet. */
const UNREAD = -1;

interface Told {
  readonly startTime: number;
  readonly refused: bigint;
}

export interface ProtectedMemory {
  notice(observation: Observation): void;
  /** Compares everything, and switches what is refused on or off. */
  pass(): Promise<void>;
}

export function createProtectedMemory(context: SensorContext, watch: Watch): ProtectedMemory {
  const told = new Map<number, Told>();
  const hashed = new Map<string, ExecutableIdentified>();
  let enforcing = false;
  let exempt = "";

  function refusedOn(pid: number): bigint {
    const operations = context.refusals(pid).flatMap((rule) => OPERATIONS[rule] ?? []);
    return operations.reduce((bits, operation) => bits | (1n << BigInt(MEMORY_OPERATION[operation])), 0n);
  }

  function protect(targets: ReadonlyMap<number, Told>): void {
    if (targets.size === 0) return;
    const numbers = [...targets].flatMap(([pid, { startTime, refused }]) => [BigInt(pid), BigInt(startTime), refused]);
    watch.protect(BigUint64Array.from(numbers));
    for (const [pid, target] of targets) told.set(pid, target);
    // At once, also for whoever is found between two passes.
    if ([...targets.values()].some(({ refused }) => refused !== 0n)) enforce(true);
  }

  function enforce(on: boolean): void {
    if (on !== enforcing) watch.enforce(on);
    enforcing = on;
  }

  function unprotect(pid: number): void {
    if (told.delete(pid)) watch.unprotect(pid);
  }

  function follow(pid: number, startTime: number): void {
    if (!context.isProtected(pid)) return unprotect(pid);
    const known = told.get(pid);
    const refused = refusedOn(pid);
    if (known?.startTime === startTime && known.refused === refused) return;
    protect(new Map([[pid, { startTime, refused }]]));
  }

  /**
   * The kernel knows an executable by device and inode only, so it is given one only while the file is what was hashed.
   * What is left: a file that is rewritten in place is spared until the next pass (one interval), and where a
   * filesystem gives stat(2) another device or inode than its own (overlayfs over several, btrfs) nobody is spared.
   */
  async function spare(): Promise<void> {
    const files: bigint[] = [];
    for (const { exe, sha256 } of context.exemptions(RULE)) {
      const known = hashed.get(exe);
      if (known?.sha256 !== sha256) continue;
      const now = await stat(exe, { bigint: true }).catch(() => undefined);
      const { dev, inode, size, mtimeNs } = known.file;
      if (now === undefined || Number(now.dev) !== dev || Number(now.ino) !== inode) continue;
      if (Number(now.size) !== size || String(now.mtimeNs) !== mtimeNs || String(now.ctimeNs) !== known.changedNs)
        continue;
      files.push(now.dev, now.ino);
    }
    const wanted = files.join(" ");
    if (wanted === exempt) return;
    watch.exempt(BigUint64Array.from(files));
    exempt = wanted;
  }

  return {
    notice(observation) {
      switch (observation.kind) {
        case "process.seen":
          return follow(observation.process.pid, observation.process.startTime);
        case "process.forked":
          // The kernel side has it from its parent already; what it is will be seen.
          if (told.has(observation.parentPid) && !told.has(observation.pid))
            told.set(observation.pid, { startTime: UNREAD, refused: 0n });
          return;
        case "process.exited":
          told.delete(observation.pid);
          return;
        case "executable.identified":
          if (observation.sha256 !== undefined) hashed.set(observation.path, observation);
          return;
      }
    },
    async pass() {
      await spare();
      const all = context
        .protectedProcesses()
        .map(({ pid, startTime }) => [pid, { startTime, refused: refusedOn(pid) }] as const);
      protect(
        new Map(
          all.filter(([pid, { startTime, refused }]) => {
            const known = told.get(pid);
            return known?.startTime !== startTime || known.refused !== refused;
          }),
        ),
      );
      const present = new Set(all.map(([pid]) => pid));
      for (const [pid, { startTime }] of told) if (!present.has(pid) && startTime !== UNREAD) unprotect(pid);
      enforce(all.some(([, { refused }]) => refused !== 0n));
      watch.beat();
    },
  };
}

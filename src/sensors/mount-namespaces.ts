// Which mount namespaces there are, by the processes that were seen in them; and their mount tables.

import { readFileSync, readlinkSync } from "node:fs";
import type { Observation } from "../observation.ts";
import { mountsIn } from "../mountinfo.ts";
import type { MountTable } from "./gate-mounts.ts";

const MAX_NAMESPACES = 1_024;

export interface MountNamespaces {
  readonly own: number | undefined;
  /** True if it told of a namespace that was not known. */
  notice(observation: Observation): boolean;
  /** Our own first; what has no process left is forgotten. */
  tables(): readonly MountTable[];
  /** Namespaces that there was no room for. */
  beyond(): number;
}

export function createMountNamespaces(): MountNamespaces {
  const [own, ownUser] = [namespaceOf("self", "mnt"), namespaceOf("self", "user")];
  const pidsOf = new Map<number, Set<number>>();
  let beyond = 0;

  function tableOf(pid: number): MountTable | undefined {
    try {
      const namespace = namespaceOf(String(pid), "mnt");
      const foreign = namespaceOf(String(pid), "user") !== ownUser;
      const mounts = mountsIn(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
      // Not of one that it has moved to meanwhile.
      if (namespace === undefined || namespaceOf(String(pid), "mnt") !== namespace) return undefined;
      return { namespace, pid, foreign, mounts };
    } catch {
      // It has ended.
      return undefined;
    }
  }

  return {
    own,
    notice(observation) {
      if (observation.kind === "process.exited") {
        for (const pids of pidsOf.values()) pids.delete(observation.pid);
        return false;
      }
      if (observation.kind !== "process.seen") return false;
      const { mountNamespace, pid } = observation.process;
      if (mountNamespace === undefined || mountNamespace === own) return false;
      const known = pidsOf.get(mountNamespace);
      if (known !== undefined) {
        known.add(pid);
        return false;
      }
      if (pidsOf.size >= MAX_NAMESPACES) {
        beyond++;
        return false;
      }
      pidsOf.set(mountNamespace, new Set([pid]));
      return true;
    },
    tables() {
      const tables: MountTable[] = [
        { namespace: 0, pid: 0, foreign: false, mounts: mountsIn(readFileSync("/proc/self/mountinfo", "utf8")) },
      ];
      for (const [namespace, pids] of pidsOf) {
        for (const pid of pids) {
          const table = tableOf(pid);
          if (table?.namespace === namespace) {
            tables.push(table);
            break;
          }
          pids.delete(pid);
        }
        if (pids.size === 0) pidsOf.delete(namespace);
      }
      return tables;
    },
    beyond: () => beyond,
  };
}

function namespaceOf(pid: string, kind: "mnt" | "user"): number | undefined {
  const digits = /\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/${kind}`))?.[1];
  return digits === undefined ? undefined : Number(digits);
}

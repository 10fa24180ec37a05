// Files that a package manager changes: one upgrade touches hundreds, so they are told together once it is done, and held
// against what the packages say. Who says it is a package manager must run the file of one; and what it leaves behind must
// be what its packages say, or it is told by name.

import { reasonOf } from "../errors.ts";
import type { PackagesChanged } from "../file-touched.ts";
import { managerOf, type PackageDatabase } from "../known-managers.ts";
import { processKey, type Observation, type Process } from "../observation.ts";
import { verifyPackages, type Verified, type VerifyPackages } from "./package-files.ts";
import type { SensorContext } from "./sensor.ts";

/** With nothing more for so long it is told, and so long after it began, if it goes on. */
const QUIET_MS = 5_000;
const LONGEST_MS = 60_000;
const MAX_FILES = 65_536;
const MAX_OPEN = 64;
const NAMED = 32;

interface Transaction {
  readonly root: Process;
  readonly database: PackageDatabase;
  readonly files: Set<string>;
  readonly began: number;
  last: number;
  ended: boolean;
}

export interface PackageTransactions {
  /** True if a package manager did it: then it is told with the rest of what that does. */
  take(path: string, pid: number, startTime: number | undefined): boolean;
  notice(observation: Observation): void;
  /** Tells what is done. */
  pass(): Promise<void>;
  /** Tells all there is. */
  end(): Promise<void>;
}

export function createPackageTransactions(
  context: Pick<SensorContext, "emit" | "now" | "lineage">,
  sensor: string,
  verify: VerifyPackages = verifyPackages,
): PackageTransactions {
  const open = new Map<string, Transaction>();

  async function tell(key: string, transaction: Transaction): Promise<void> {
    open.delete(key);
    const { root, database, files } = transaction;
    let verified: Verified | undefined;
    let reason: string | undefined;
    if (database !== "unread") {
      try {
        verified = await verify(database, files);
      } catch (thrown) {
        reason = reasonOf(thrown);
      }
    }
    const with_ = (verdict: string): string[] =>
      [...(verified?.verdicts ?? [])].flatMap(([path, each]) => (each === verdict ? [path] : []));
    const [differing, strange] = [with_("differing"), with_("strange")];
    // Nothing of it is left: files that were there while it worked.
    if (verified !== undefined && with_("gone").length === files.size) return;
    const observation: PackagesChanged = {
      kind: "packages.changed",
      at: context.now(),
      sensor,
      ...(verified === undefined ? {} : { database }),
      pid: root.pid,
      startTime: root.startTime,
      manager: root.exe ?? root.comm,
      files: files.size,
      verified: with_("verified").length,
      owned: with_("owned").length,
      packages: verified?.packages.slice(0, NAMED) ?? [],
      differing: differing.slice(0, NAMED),
      differingCount: differing.length,
      // Where nothing can be said of any, all are told as if they were of nobody.
      strange: (verified === undefined ? [...files] : strange).slice(0, NAMED),
      strangeCount: verified === undefined ? files.size : strange.length,
    };
    context.emit(observation);
    if (reason !== undefined)
      context.emit({
        kind: "sensor.state",
        at: context.now(),
        sensor,
        state: "degraded",
        reason: `what packages say of their files cannot be read: ${reason}`,
      });
  }

  return {
    take(path, pid, startTime) {
      const root = managerOf(context.lineage(pid, startTime));
      if (root === undefined) return false;
      const key = processKey(root.process);
      const now = context.now();
      let transaction = open.get(key);
      if (transaction === undefined) {
        if (open.size >= MAX_OPEN) return false;
        transaction = { ...root, root: root.process, files: new Set(), began: now, last: now, ended: false };
        open.set(key, transaction);
      }
      if (transaction.files.size >= MAX_FILES && !transaction.files.has(path)) return false;
      transaction.files.add(path);
      transaction.last = now;
      return true;
    },
    notice(observation) {
      if (observation.kind !== "process.exited" || open.size === 0) return;
      for (const transaction of open.values()) if (transaction.root.pid === observation.pid) transaction.ended = true;
    },
    async pass() {
      const now = context.now();
      for (const [key, transaction] of open) {
        const { ended, last, began, files } = transaction;
        // Its last changes may still be on their way when its end is told.
        const done = ended && now - last > 1_000;
        if (done || now - last >= QUIET_MS || now - began >= LONGEST_MS || files.size >= MAX_FILES)
          await tell(key, transaction);
      }
    },
    async end() {
      for (const [key, transaction] of open) await tell(key, transaction);
    },
  };
}

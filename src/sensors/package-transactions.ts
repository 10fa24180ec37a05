// Files that a package manager changes: one upgrade touches hundreds, so they are told together once it is done, and held
// against what the packages say. Who says it is a package manager must run the file of one; and what it leaves behind must
// be what its packages say, or what was done to it is told by itself, like that of anybody.

import { isText } from "../baselines/files/compare.ts";
import { reasonOf } from "../errors.ts";
import type { FileTouched, PackagesChanged } from "../file-touched.ts";
import { isManager, managerOf, type PackageDatabase } from "../known-managers.ts";
import { processKey, type Observation, type Process } from "../observation.ts";
import { verifyPackages, type Verified, type VerifyPackages } from "./package-files.ts";
import type { SensorContext } from "./sensor.ts";

/** With nothing more for so long it is told, and so long after it began, if it goes on. */
const QUIET_MS = 5_000;
const LONGEST_MS = 60_000;
const MAX_FILES = 65_536;
const MAX_DEEDS = 4 * MAX_FILES;
const MAX_OPEN = 64;
const NAMED = 32;

/** What was done to a file, or to two of which one has become the other. */
export interface FileDeed {
  readonly touched: FileTouched;
  /** Those that are watched. */
  readonly paths: readonly Buffer[];
  /** A folder was moved, with what is in it. */
  readonly below: boolean;
  /** Moved away to where nothing is watched. */
  readonly out: boolean;
  /** A folder that came from where nothing is watched. */
  readonly came?: Buffer;
}

interface HeldDeed extends FileDeed {
  readonly files: readonly string[];
  /** By the package manager itself, not by a script or a program that it started. */
  readonly byManager: boolean;
  /** When it was taken. */
  last: number;
}

interface Transaction {
  readonly root: Process;
  readonly database: PackageDatabase;
  /** By who did what to which file. */
  readonly deeds: Map<string, HeldDeed>;
  readonly files: Set<string>;
  /** Those that were not there before. */
  readonly made: Set<string>;
  readonly began: number;
  last: number;
  ended: boolean;
}

export interface PackageTransactions {
  /** True if a package manager did it: then it is told with the rest of what that does, or by itself once that is done. */
  take(deed: FileDeed): boolean;
  notice(observation: Observation): void;
  /** Tells what is done. */
  pass(): Promise<void>;
  /** Tells all there is. */
  end(): Promise<void>;
}

/**
 * Whether the packages account for it: each file is there as they say, or gone, and no package has it. dpkg says nothing of
 * modes, owners and capabilities: those it set itself are the package's, those that a script set are not.
 */
function isExplained({ touched, files, below, out, byManager }: HeldDeed, { verdicts }: Verified): boolean {
  const said = files.map((file) => verdicts.get(file));
  if (!said.every((each) => each === "verified" || each === "owned" || each === "gone")) return false;
  if (byManager) return true;
  if (below || out) return false;
  const did = touched.did ?? [touched.change];
  return said.every((each) => each === "gone") || did.every((each) => each === "written" || each === "removed");
}

export function createPackageTransactions(
  context: Pick<SensorContext, "emit" | "now" | "lineage">,
  sensor: string,
  tellAlone: (deed: FileDeed) => void,
  verify: VerifyPackages = verifyPackages,
): PackageTransactions {
  const open = new Map<string, Transaction>();

  function begin(root: Process, database: PackageDatabase, now: number): Transaction {
    return { root, database, deeds: new Map(), files: new Set(), made: new Set(), began: now, last: now, ended: false };
  }

  function hold({ deeds, files, made }: Transaction, key: string, deed: HeldDeed): void {
    const { change, did } = deed.touched;
    const isMade = change === "created" || change === "moved" || did?.includes("created") === true;
    const [to] = deed.files;
    if (isMade && !deed.out && to !== undefined && !files.has(to)) made.add(to);
    for (const file of deed.files) files.add(file);
    deeds.set(key, deed);
  }

  /** What it did just now its database does not have yet: if it goes on, that is looked at with what is still to come. */
  function carryOver(key: string, from: Transaction): void {
    const now = context.now();
    const next = begin(from.root, from.database, now);
    for (const [of, deed] of from.deeds) if (now - deed.last < QUIET_MS) hold(next, of, deed);
    if (next.deeds.size === 0 || next.deeds.size === from.deeds.size) return;
    for (const of of next.deeds.keys()) from.deeds.delete(of);
    from.files.clear();
    for (const { files } of from.deeds.values()) for (const file of files) from.files.add(file);
    for (const file of from.made) next.made.add(file);
    open.set(key, next);
  }

  async function tell(key: string, transaction: Transaction, isCut = false): Promise<void> {
    open.delete(key);
    if (isCut) carryOver(key, transaction);
    const { root, database, files, deeds, made } = transaction;
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
    const [differing, strange] = [[...with_("differing"), ...with_("missing")], with_("strange")];
    const alone = [...deeds.values()].filter((deed) => verified === undefined || !isExplained(deed, verified));
    // Nothing of it is left: files that were there while it worked.
    const isNothing = with_("gone").filter((path) => made.has(path)).length === files.size;
    if (verified !== undefined && alone.length === 0 && isNothing) return;
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
      owned: with_("owned").length + with_("unsaid").length,
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
    for (const deed of alone) tellAlone(deed);
  }

  return {
    take(deed) {
      const { touched, paths } = deed;
      const { pid, startTime } = touched;
      // No database has a name that is no text.
      if (pid === undefined || !paths.every(isText)) return false;
      const lineage = context.lineage(pid, startTime);
      const root = managerOf(lineage);
      if (root === undefined) return false;
      const key = processKey(root.process);
      const now = context.now();
      const transaction = open.get(key) ?? begin(root.process, root.database, now);
      const { deeds, files } = transaction;
      if (!open.has(key) && open.size >= MAX_OPEN) return false;
      const doer = lineage.find((each) => each.pid === pid);
      const byManager = doer !== undefined && isManager(doer);
      const names = paths.map(String);
      const { change, did, from } = touched;
      const of = JSON.stringify([byManager, pid, startTime, change, did, from, touched.path]);
      const before = deeds.get(of);
      if (before === undefined && (deeds.size >= MAX_DEEDS || files.size >= MAX_FILES)) return false;
      if (before === undefined) hold(transaction, of, { ...deed, files: names, byManager, last: now });
      else before.last = now;
      open.set(key, transaction);
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
        const { ended, last, began, files, deeds } = transaction;
        // Its last changes may still be on their way when its end is told.
        const done = ended && now - last > 1_000;
        if (done || now - last >= QUIET_MS) await tell(key, transaction);
        else if (now - began >= LONGEST_MS || files.size >= MAX_FILES || deeds.size >= MAX_DEEDS)
          await tell(key, transaction, !ended);
      }
    },
    async end() {
      for (const [key, transaction] of open) await tell(key, transaction);
    },
  };
}

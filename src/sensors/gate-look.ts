// What ran though the exec gate was not asked: a script that an interpreter was given, and a program on a file system that
// was not marked yet, or cannot be. It is looked at after, and told.

import type { GateMount, GateSettings } from "../configuration.ts";
import type { ExecJudged } from "../exec-judged.ts";
import { deviceOf } from "../mountinfo.ts";
import type { Gate } from "../native.ts";
import { processKey, type Process, type ProcessSeen } from "../observation.ts";
import type { GateRecord } from "../record.ts";
import { decodeRecords } from "../records.ts";
import { coveredBy, holdsPrograms, isChecked, type Mounted } from "./gate-mounts.ts";
import { handedOver } from "./gate-scripts.ts";

/** What is larger is not read here, on the event loop. */
const MAX_SCRIPT_BYTES = 4 << 20;
const MAX_PROGRAM_BYTES = 16 << 20;
const OWN_NUMBERS: ReadonlySet<string> = new Set(["btrfs", "bcachefs", "overlay"]);
const MAX_LOOKED_AT = 4_096;
/** An exec is told some milliseconds after it, so that one that came before the mark seems to come after it. */
const NEW_MS = 1_000;

export interface KnownMount extends Mounted {
  readonly foreign: boolean;
  /** Whose table it is from; 0: ours. */
  readonly pid: number;
  readonly namespace: number;
}

export interface Looked {
  readonly gate: Gate;
  readonly settings: GateSettings;
  readonly interpreters: readonly string[];
  /** As /proc/uptime counts, in ticks: what ran before is nobody's miss. */
  readonly openedTicks: number;
  /** The mount of that number, in whatever namespace; `again`: as it is now. */
  mount(id: number, again: boolean): KnownMount | undefined;
  mounts(): Iterable<KnownMount>;
  readonly ownNamespace: number | undefined;
  /** Since when its superblock is marked; milliseconds since the epoch. */
  marked(
    device: string,
  ): { readonly since: number; readonly mode: GateMount["mode"]; readonly opens: boolean } | undefined;
  /** Of the process and its parents, nearest first. */
  lineage(pid: number, startTime: number): readonly Process[];
  isUpgrade: boolean;
  /** What lies on an overlay is checked by its layers. */
  readonly tellsLayers: boolean;
}

type Told = Omit<ExecJudged, "kind" | "at" | "sensor" | "rule"> & Pick<GateRecord, "rule">;

export interface GateLook {
  /** What is to be told of it. */
  look(seen: ProcessSeen, at: Looked): readonly Told[];
}

export function createGateLook(): GateLook {
  const lookedAt = new Set<string>();

  function isNew(key: string): boolean {
    if (lookedAt.has(key)) return false;
    if (lookedAt.size >= MAX_LOOKED_AT) lookedAt.clear();
    lookedAt.add(key);
    return true;
  }

  /** `through`: by whose root the path leads there. */
  function judged(
    { euid, uid }: Process,
    through: number,
    path: string,
    mount: number,
    by: string,
    { gate }: Looked,
  ): GateRecord | undefined {
    const [record] = decodeRecords(gate.look(through, path, mount, euid ?? uid ?? 0, by));
    return record?.kind === "gate" && record.denied ? record : undefined;
  }

  /** What a loader or an interpreter was given to run from a mount that is marked, where openings are not looked at. */
  function script(process: Process, looked: Looked): readonly Told[] {
    const { gate, settings, interpreters } = looked;
    const path = handedOver(process, interpreters);
    if (path === undefined || !isNew(`${processKey(process)} ${process.exe} ${path}`)) return [];
    const { mount, size } = gate.place(process.pid, path);
    const on = looked.mount(mount, false);
    const mark = on && looked.marked(on.device);
    if (mark === undefined || mark.opens || size > Math.min(MAX_SCRIPT_BYTES, settings.maxBytes)) return [];
    const by = process.exe ?? "";
    const record = judged(process, process.pid, path, mount, by, looked);
    if (record === undefined) return [];
    // It was not refused, whatever the mode: it is running.
    return [told(record, process, { path, by, opened: true, mode: "audit" })];
  }

  function program(seen: ProcessSeen, looked: Looked): readonly Told[] {
    const { process, at, by: how } = seen;
    const { settings } = looked;
    const { exe } = process;
    // Without a file it is another rule's (fileless-exec).
    if (exe === undefined || exe.endsWith(" (deleted)")) return [];
    if (how === "scan" && process.startTime < looked.openedTicks) return [];
    const cover = coveredBy(settings.mounts, exe);
    if (cover === undefined || isSpared(process, looked)) return [];
    const place = placeOf(process, looked);
    if (place === undefined) return [];
    const { on, by: through, path, file } = place;
    if (on?.foreign === true && on.type === "overlay" && looked.tellsLayers) return [];
    const mark = on && looked.marked(on.device);
    if (mark !== undefined && mark.since < at - NEW_MS) return [];
    if (!isNew(`${processKey(process)} ${exe}`)) return [];
    const checked = on !== undefined && isChecked(on, on.foreign);
    if (!checked && on !== undefined && !holdsPrograms(on.type)) return [];
    const [, parent] = looked.lineage(process.pid, process.startTime);
    const by = parent?.exe ?? "";
    const { mode } = mark ?? cover;
    // What a silent server answers for is not read; nor is what no mount table has, since that may be such a one.
    if (checked && through !== undefined && file.size <= Math.min(MAX_PROGRAM_BYTES, settings.maxBytes)) {
      try {
        const record = judged(process, through, path, on.id, by, looked);
        return record === undefined ? [] : [told(record, process, { path: exe, by, opened: false, mode })];
      } catch {
        // It has ended meanwhile, and its file may be gone with it: it ran all the same.
      }
    }
    const { pid, startTime, euid, uid } = process;
    return [{ pid, startTime, uid: euid ?? uid ?? 0, mode, reason: "unmarked", denied: false, opened: false, path: exe, by, file }]; // prettier-ignore
  }

  return {
    look(seen, looked) {
      const all: Told[] = [];
      for (const each of [() => script(seen.process, looked), () => program(seen, looked)]) {
        try {
          all.push(...each());
        } catch {
          // The process has ended, or the file is gone: there is nothing to be looked at any more.
        }
      }
      return all;
    },
  };
}

interface Place {
  readonly on: KnownMount | undefined;
  /** Where the file can be had; undefined: nowhere any more. */
  readonly by: number | undefined;
  readonly path: string;
  readonly file: Told["file"];
}

/** Of a process that has ended since: what its executable was when it began, and where others have it. */
function placeOf(process: Process, looked: Looked): Place | undefined {
  const { gate } = looked;
  const { pid, exe = "", exeFile, euid, uid } = process;
  try {
    const { mount, isMarked, ...file } = gate.place(pid, "");
    const known = looked.mount(mount, false);
    // It could be another one by now, or one that came since.
    const isCurrent = known !== undefined && (isMarked || !isChecked(known, known.foreign));
    const on = isCurrent ? known : looked.mount(mount, true);
    return { on, by: pid, path: "", file };
  } catch {
    if (exeFile === undefined) return undefined;
    const { dev, inode, size } = exeFile;
    const file = { dev, inode, size, owner: euid ?? uid ?? 0 };
    const known = [...looked.mounts()];
    const its = process.mountNamespace === looked.ownNamespace ? 0 : process.mountNamespace;
    const namespace = known.find((each) => each.namespace === its);
    const there = namespace?.pid ?? 0;
    try {
      const found = gate.place(there, exe);
      const on = looked.mount(found.mount, false);
      if (found.dev === dev && found.inode === inode && on !== undefined) return { on, by: there, path: exe, file: { ...file, owner: found.owner } }; // prettier-ignore
    } catch {
      // Nobody has it there any more.
    }
    // Of a namespace that is gone nothing that was its own can be known, and its number may be another's by now.
    if (namespace === undefined) return { on: undefined, by: undefined, path: exe, file };
    const on = known.find(({ device }) => device === deviceOf(dev));
    // There a file has numbers of its own, which no mount table has.
    if (on === undefined && known.some(({ type }) => OWN_NUMBERS.has(type))) return undefined;
    return { on, by: undefined, path: exe, file };
  }
}

/** As C spares: what rimon itself started, and what an updater did while an upgrade is declared. */
function isSpared({ pid, startTime, parentPid }: Process, { isUpgrade, settings, lineage }: Looked): boolean {
  if (pid === 1 || parentPid === process.pid) return true;
  return (
    isUpgrade &&
    lineage(pid, startTime).some(
      ({ exe, euid }) => euid === 0 && exe !== undefined && settings.upgrade.by.includes(exe),
    )
  );
}

function told(
  record: GateRecord,
  { pid, startTime }: Process,
  rest: Pick<Told, "path" | "by" | "opened" | "mode">,
): Told {
  const { kind: _, ...known } = record;
  return { ...known, pid, startTime, ...rest, denied: false };
}

// The files rimon itself stands on: its program, configuration, signing key and audit log. fanotify names who writes
// them; a look at them, at every pass and whenever fanotify tells that somebody changed more than their contents, finds
// what was swapped, removed, cut or given another mode.

import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { OwnFileChanged } from "../observation.ts";
import type { OwnFile } from "./kernel-events.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

interface Seen {
  readonly inode: number;
  readonly dev: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly rights: string;
}

export interface OwnFiles extends Sensor {
  /** Somebody has just changed something about one of them. */
  touched(pid: number): void;
}

export function createOwnFiles(context: SensorContext, files: () => readonly OwnFile[]): OwnFiles {
  const name = "own-files";
  const report = createStateReporter(context, name);
  const known = new Map<string, Seen | undefined>();
  /** One look after the other, so that nothing is told twice. */
  let looking = Promise.resolve();

  function pass(): Promise<void> {
    return (looking = looking.then(() => lookAtAll()));
  }

  async function lookAtAll(pid?: number): Promise<void> {
    const seen = await Promise.all(files().map(async (file) => ({ ...file, now: await look(file.path) })));
    for (const { path, role, now } of seen) {
      const before = known.get(path);
      const first = !known.has(path);
      known.set(path, now);
      if (first) continue;
      const change = await difference(path, role, before, now);
      if (change !== undefined)
        context.emit({
          kind: "own-file.changed",
          at: context.now(),
          sensor: name,
          path,
          role,
          change,
          // What was written is found by a look that somebody else gave the occasion for.
          ...(pid === undefined || change === "written" || change === "truncated" ? {} : { pid }),
        });
    }
    report("live");
  }

  return {
    name,
    sees: "rimon's own program, configuration, key and audit log being replaced, removed, cut or opened to others",
    needs: [],
    start: pass,
    pass,
    touched(pid) {
      looking = looking.then(() => lookAtAll(pid));
    },
    async stop() {
      await looking;
    },
  };
}

async function look(path: string): Promise<Seen | undefined> {
  try {
    const { ino, dev, size, mtimeMs, mode, uid, gid } = await stat(path);
    return { inode: ino, dev, size, mtimeMs, rights: `${mode}:${uid}:${gid}` };
  } catch {
    return undefined;
  }
}

async function difference(
  path: string,
  role: OwnFile["role"],
  before: Seen | undefined,
  now: Seen | undefined,
): Promise<OwnFileChanged["change"] | undefined> {
  if (before === undefined) return undefined;
  if (role === "audit" && (now === undefined || now.inode !== before.inode)) {
    // Rotation moves the log aside under a name that begins with its own.
    return (await wasMovedAside(path, before)) ? undefined : now === undefined ? "removed" : "replaced";
  }
  if (now === undefined) return "removed";
  if (now.inode !== before.inode || now.dev !== before.dev) return "replaced";
  if (now.rights !== before.rights) return "mode";
  if (role === "audit") return now.size < before.size ? "truncated" : undefined;
  return now.mtimeMs !== before.mtimeMs || now.size !== before.size ? "written" : undefined;
}

async function wasMovedAside(path: string, before: Seen): Promise<boolean> {
  const folder = dirname(path);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(`${basename(path)}.`)) continue;
    const seen = await look(join(folder, name));
    if (seen?.inode === before.inode && seen.size >= before.size) return true;
  }
  return false;
}

// The files rimon itself stands on: its program, configuration, signing key and audit log. fanotify names who writes
// them; this pass finds what was swapped, removed, cut or given another mode.

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

export function createOwnFiles(context: SensorContext, files: () => readonly OwnFile[]): Sensor {
  const name = "own-files";
  const report = createStateReporter(context, name);
  const known = new Map<string, Seen | undefined>();

  async function pass(): Promise<void> {
    for (const { path, role } of files()) {
      const now = await look(path);
      const before = known.get(path);
      const first = !known.has(path);
      known.set(path, now);
      if (first) continue;
      const change = await difference(path, role, before, now);
      if (change !== undefined)
        context.emit({ kind: "own-file.changed", at: context.now(), sensor: name, path, role, change });
    }
    report("live");
  }

  return {
    name,
    sees: "rimon's own program, configuration, key and audit log being replaced, removed, cut or opened to others",
    needs: [],
    start: pass,
    pass,
    async stop() {},
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

// Which files the kernel side is to spare: it knows an executable by device and inode only, so it is given one only
// while the file is what was hashed.
//
// What is left: a file that is rewritten in place is spared until the next pass (one interval), and where a filesystem
// gives stat(2) another device or inode than its own (overlayfs over several, btrfs) nobody is spared.

import { stat } from "node:fs/promises";
import type { Exempt } from "../configuration.ts";
import type { ExecutableIdentified, Observation } from "../observation.ts";

export interface Spared {
  notice(observation: Observation): void;
  /** st_dev and inode of each that is still the same file. */
  files(exempt: readonly Exempt[]): Promise<BigUint64Array>;
}

export function createSpared(): Spared {
  const hashed = new Map<string, ExecutableIdentified>();
  return {
    notice(observation) {
      if (observation.kind === "executable.identified" && observation.sha256 !== undefined)
        hashed.set(observation.path, observation);
    },
    async files(exempt) {
      const files: bigint[] = [];
      for (const { exe, sha256 } of exempt) {
        const known = hashed.get(exe);
        if (known === undefined || known.sha256 !== sha256) continue;
        const now = await stat(exe, { bigint: true }).catch(() => undefined);
        const { dev, inode, size, mtimeNs } = known.file;
        if (now === undefined || Number(now.dev) !== dev || Number(now.ino) !== inode) continue;
        if (Number(now.size) !== size || String(now.mtimeNs) !== mtimeNs || String(now.ctimeNs) !== known.changedNs)
          continue;
        files.push(now.dev, now.ino);
      }
      return BigUint64Array.from(files);
    },
  };
}

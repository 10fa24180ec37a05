// A disk without room.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Takes all space but what the last pages of other files leave; the file that holds it. */
export function fill(directory: string): string {
  const file = join(directory, "filler");
  for (let size = 64 * 1024; size >= 512;) {
    try {
      writeFileSync(file, Buffer.alloc(size), { flag: "a" });
    } catch {
      size /= 2;
    }
  }
  return file;
}

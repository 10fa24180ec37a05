import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needs } from "../not-done.ts";
import { on, type Technique } from "../technique.ts";

const CACHE = "/etc/ld.so.cache";

export const ldSoPreload: Technique = {
  name: "ld-so-preload",
  summary: "the process is started where /etc/ld.so.preload names a library (in a mount namespace of its own)",
  rules: ["library-preloaded"],
  expected: ["address-space"],
  anonymous: true,
  async stage(range) {
    needs(CACHE, "only glibc reads /etc/ld.so.preload");
    // The node's own /etc is never touched: what lies over it goes with the decoy.
    const etc = join(range.folder, "etc");
    mkdirSync(etc);
    copyFileSync(CACHE, join(etc, "ld.so.cache"));
    writeFileSync(join(etc, "ld.so.preload"), `${range.library(range.sharedMemory())}\n`);
    const begin = await range.decoyToCome({ etc });
    return {
      async act() {
        const at = process.hrtime.bigint();
        const { pid } = await begin();
        return { at, leakedBytes: 0, concerns: on(pid) };
      },
    };
  },
};

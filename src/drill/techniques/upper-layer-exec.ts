import { mkdirSync, readFileSync, realpathSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { DECOY_NAME } from "../comm.ts";
import { NotRun } from "../not-done.ts";
import { on, type Technique } from "../technique.ts";

export const upperLayerExec: Technique = {
  name: "upper-layer-exec",
  summary:
    "a protected program that was added to its container (the upper layer of an overlay in a mount namespace of its own)",
  rules: ["upper-layer-exec"],
  expected: ["exec"],
  needs: "eBPF",
  anonymous: true,
  async stage(range) {
    if (!/\toverlay$/m.test(readFileSync("/proc/filesystems", "utf8")))
      throw new NotRun("the kernel has no overlay file system, or its module is not loaded");
    const attacker = await range.attacker({ ownMounts: true });
    const folder = join(range.folder, "overlay");
    mkdirSync(folder);
    await attacker.act("add-program", { path: realpathSync(range.find("cat")), folder });
    // A process is called after the link.
    const path = join(range.folder, DECOY_NAME);
    symlinkSync(join(folder, "merged", "cat"), path);
    return {
      async act() {
        const { at, bytes } = await attacker.act("exec-added", { path });
        return { at, leakedBytes: 0, concerns: on(bytes.readUInt32LE()) };
      },
    };
  },
};

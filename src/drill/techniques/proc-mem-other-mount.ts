import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

/** A mark follows a mount within milliseconds; reading sooner than that is a race, and not what is asked here. */
const MOUNTED_BEFORE_MS = 300;

export const procMemOtherMount: Technique = {
  name: "proc-mem-other-mount",
  summary: "PID/mem in a second procfs, mounted 0.3 s before in a mount namespace of its own",
  rules: ["memory-read"],
  expected: ["fanotify"],
  stopped: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker({ ownMounts: true })]);
    const { pid, address, length, secret } = decoy;
    const mount = join(range.folder, "proc");
    mkdirSync(mount);
    await attacker.act("mount-procfs", { path: mount });
    await delay(MOUNTED_BEFORE_MS);
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("read-at", { path: join(mount, String(pid), "mem"), address, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

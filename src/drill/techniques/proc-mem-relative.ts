import { leaked } from "../range.ts";
import { attackDecoy, type Technique } from "../technique.ts";

export const procMemRelative: Technique = {
  name: "proc-mem-relative",
  summary: 'chdir to /proc/PID, then open "mem": a path without a pid in it',
  rules: ["memory-read"],
  expected: ["fanotify", "mmap-lock"],
  stopped: true,
  async stage(range) {
    return attackDecoy(range, async ({ pid, address, length, secret }, attacker) => {
      const { at, bytes } = await attacker.act("read-relative", { path: `/proc/${pid}`, address, length });
      return { at, leakedBytes: leaked(secret, bytes) };
    });
  },
};

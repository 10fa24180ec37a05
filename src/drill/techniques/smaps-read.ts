import { needs } from "../not-done.ts";
import { attackDecoy, type Technique } from "../technique.ts";

export const smapsRead: Technique = {
  name: "smaps-read",
  summary: "read /proc/PID/smaps, which is maps and more",
  rules: ["maps-read"],
  expected: ["fanotify", "mmap-lock"],
  async stage(range) {
    needs("/proc/self/smaps", "this kernel has no /proc/PID/smaps (CONFIG_PROC_PAGE_MONITOR)");
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("read-file", { path: `/proc/${pid}/smaps` }));
  },
};

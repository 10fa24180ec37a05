import { needs } from "../not-done.ts";
import { attackDecoy, type Technique } from "../technique.ts";

/** Bytes for each page; 4 KiB is what the secret's page is aligned to, and the smallest a page is. */
const ENTRY = 8;
const PAGE = 4_096n;

export const pagemapRead: Technique = {
  name: "pagemap-read",
  summary: "read /proc/PID/pagemap: which physical page holds the secret",
  rules: ["maps-read"],
  expected: ["fanotify", "mmap-lock"],
  async stage(range) {
    needs("/proc/self/pagemap", "this kernel has no /proc/PID/pagemap (CONFIG_PROC_PAGE_MONITOR)");
    return attackDecoy(range, ({ pid, address }, attacker) =>
      attacker.act("read-at", {
        path: `/proc/${pid}/pagemap`,
        address: String((BigInt(address) / PAGE) * BigInt(ENTRY)),
        length: ENTRY,
      }),
    );
  },
};

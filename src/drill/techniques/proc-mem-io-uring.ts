import { readFileSync } from "node:fs";
import { NotRun } from "../not-done.ts";
import { leaked } from "../range.ts";
import { attackDecoy, type Technique } from "../technique.ts";

export const procMemIoUring: Technique = {
  name: "proc-mem-io-uring",
  summary: "/proc/PID/mem opened and read by io_uring, without a call of open or read",
  rules: ["memory-read"],
  expected: ["fanotify", "mmap-lock"],
  stopped: true,
  async stage(range) {
    if (isOff()) throw new NotRun("io_uring is switched off (kernel.io_uring_disabled is 2)");
    return attackDecoy(range, async ({ pid, address, length, secret }, attacker) => {
      const { at, bytes } = await attacker.act("uring-read", { path: `/proc/${pid}/mem`, address, length });
      return { at, leakedBytes: leaked(secret, bytes) };
    });
  },
};

/** The setting is there since Linux 6.6. */
function isOff(): boolean {
  try {
    return readFileSync("/proc/sys/kernel/io_uring_disabled", "utf8").trim() === "2";
  } catch {
    return false;
  }
}

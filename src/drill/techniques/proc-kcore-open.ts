import { needs } from "../not-done.ts";
import { by, type Technique } from "../technique.ts";

const PATH = "/proc/kcore";

export const procKcoreOpen: Technique = {
  name: "proc-kcore-open",
  summary: "open /proc/kcore, the memory of the kernel and of everybody",
  rules: ["memory-read"],
  expected: ["ptrace-access", "fanotify"],
  stopped: true,
  stoppedBy: "ptrace-access",
  async stage(range) {
    needs(PATH, "this kernel has no /proc/kcore (CONFIG_PROC_KCORE)");
    const attacker = await range.attacker();
    return {
      async act() {
        // Opened and closed: nothing is read.
        const { at } = await attacker.act("open-file", { path: PATH });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: by(attacker.pid) };
      },
    };
  },
};

import { needs } from "../not-done.ts";
import { by, type Technique } from "../technique.ts";

const PATH = "/dev/mem";

export const devMemOpen: Technique = {
  name: "dev-mem-open",
  summary: "open /dev/mem, the physical memory",
  rules: ["memory-read"],
  expected: ["ptrace-access"],
  needs: "eBPF",
  stopped: true,
  stoppedBy: "ptrace-access",
  async stage(range) {
    needs(PATH, "there is no /dev/mem here (CONFIG_DEVMEM, or a container without it)");
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

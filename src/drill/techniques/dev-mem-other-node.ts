import { join } from "node:path";
import { needs } from "../not-done.ts";
import { by, type Technique } from "../technique.ts";

export const devMemOtherNode: Technique = {
  name: "dev-mem-other-node",
  summary: "open the physical memory by a device node of one's own (mknod)",
  rules: ["memory-read"],
  expected: ["ptrace-access"],
  needs: "eBPF",
  stopped: true,
  stoppedBy: "ptrace-access",
  async stage(range) {
    needs("/dev/mem", "there is no /dev/mem here (CONFIG_DEVMEM, or a container without it)");
    const path = join(range.folder, "node");
    const attacker = await range.attacker();
    range.find("mknod");
    await attacker.act("make-mem-device", { path });
    return {
      async act() {
        // Opened and closed: nothing is read.
        const { at } = await attacker.act("open-file", { path });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: by(attacker.pid) };
      },
    };
  },
};

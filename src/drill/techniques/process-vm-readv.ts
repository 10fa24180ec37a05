import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const processVmReadv: Technique = {
  name: "process-vm-readv",
  summary: "process_vm_readv(2)",
  rules: ["memory-read"],
  expected: ["mmap-lock", "calls"],
  stopped: true,
  needs: "eBPF",
  yama: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, address, length, secret } = decoy;
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("process-vm-readv", { pid, address, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

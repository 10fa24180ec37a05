import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const processVmReadv: Technique = {
  name: "process-vm-readv",
  summary: "process_vm_readv(2)",
  rules: ["memory-read"],
  expected: [],
  needs: "eBPF",
  yama: true,
  blind: "no sensor sees process_vm_readv on this kernel without eBPF",
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

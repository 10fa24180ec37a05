import { attackDecoy, type Technique } from "../technique.ts";

/** In the page of the secret, where nothing stands. */
const BESIDE_SECRET = 2_048n;

export const processVmWritev: Technique = {
  name: "process-vm-writev",
  summary: "process_vm_writev(2) to data of the process",
  rules: ["memory-read"],
  expected: ["mmap-lock", "calls"],
  stopped: true,
  needs: "eBPF",
  yama: true,
  async stage(range) {
    return attackDecoy(range, ({ pid, address }, attacker) =>
      attacker.act("process-vm-writev", { pid, address: String(BigInt(address) + BESIDE_SECRET) }),
    );
  },
};

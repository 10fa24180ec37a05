import { NotRun } from "../not-done.ts";
import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const processVmReadvInt80: Technique = {
  name: "process-vm-readv-int80",
  summary: "process_vm_readv by the table of 32-bit calls (int $0x80)",
  rules: ["memory-read"],
  expected: ["mmap-lock", "calls"],
  stopped: true,
  needs: "eBPF",
  yama: true,
  async stage(range) {
    if (process.arch !== "x64") throw new NotRun(`int $0x80 is of x86; this is ${process.arch}`);
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, length, secret } = decoy;
    const address = await decoy.lowCopy();
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("process-vm-readv-int80", { pid, address, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

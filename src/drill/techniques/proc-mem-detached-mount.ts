import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const procMemDetachedMount: Technique = {
  name: "proc-mem-detached-mount",
  summary: "PID/mem in a procfs mounted where nobody else sees it (fsopen, fsmount)",
  rules: ["memory-read"],
  expected: ["mmap-lock"],
  stopped: true,
  needs: "eBPF",
  yama: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, address, length, secret } = decoy;
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("proc-mem-detached-mount", { pid, address, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

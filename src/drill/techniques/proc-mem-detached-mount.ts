import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const procMemDetachedMount: Technique = {
  name: "proc-mem-detached-mount",
  summary: "PID/mem in a procfs mounted where nobody else sees it (fsopen, fsmount)",
  rules: ["memory-read"],
  expected: [],
  needs: "eBPF",
  yama: true,
  blind: "a procfs that stands in no mount table is beyond every fanotify mark; no sensor sees it without eBPF",
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

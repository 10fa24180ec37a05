import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const procMemHeld: Technique = {
  name: "proc-mem-held",
  summary: "read by a descriptor of /proc/PID/mem opened before rimon started",
  rules: ["memory-read"],
  expected: ["descriptors", "fanotify"],
  stopped: true,
  early: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, address, length, secret } = decoy;
    await attacker.act("hold", { path: `/proc/${pid}/mem` });
    return {
      target: pid,
      async act() {
        const { at: usedAt, bytes } = await attacker.act("read-held", { address, length });
        const at = range.monitorStartedAt();
        return { at, usedAt, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const procMem: Technique = {
  name: "proc-mem",
  summary: "open and read /proc/PID/mem",
  rules: ["memory-read"],
  expected: ["fanotify"],
  stopped: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, address, length, secret } = decoy;
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("read-at", { path: `/proc/${pid}/mem`, address, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

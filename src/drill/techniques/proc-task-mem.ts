import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const procTaskMem: Technique = {
  name: "proc-task-mem",
  summary: "the same memory by way of /proc/PID/task/TID/mem",
  rules: ["memory-read"],
  expected: ["fanotify"],
  stopped: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, tid, address, length, secret } = decoy;
    return {
      target: pid,
      async act() {
        const path = `/proc/${pid}/task/${tid}/mem`;
        const { at, bytes } = await attacker.act("read-at", { path, address, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

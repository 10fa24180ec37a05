import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const ptraceThread: Technique = {
  name: "ptrace-thread",
  summary: "PTRACE_SEIZE of one thread that is not the main one",
  rules: ["ptrace-attach"],
  expected: ["proc-connector", "calls"],
  stopped: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, tid, address, length, secret } = decoy;
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("ptrace-seize", { pid: tid, address, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

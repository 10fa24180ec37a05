import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const ptracePeekAfterSeize: Technique = {
  name: "ptrace-peek-after-seize",
  summary: "PTRACE_PEEKDATA by a tracer that had seized the process before rimon started",
  rules: ["ptrace-attach", "memory-read"],
  expected: ["process-table"],
  stopped: true,
  early: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, address, length, secret } = decoy;
    await attacker.act("ptrace-hold", { pid });
    return {
      target: pid,
      async act() {
        const { at: usedAt, bytes } = await attacker.act("ptrace-peek", { pid, address, length });
        const at = range.monitorStartedAt();
        return { at, usedAt, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

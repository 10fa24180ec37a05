import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const ptraceAttach: Technique = {
  name: "ptrace-attach",
  summary: "PTRACE_ATTACH, then PTRACE_PEEKDATA",
  rules: ["ptrace-attach"],
  expected: ["proc-connector", "calls"],
  stopped: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, address, length, secret } = decoy;
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("ptrace-attach", { pid, address, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

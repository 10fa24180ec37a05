import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const ptraceSeize: Technique = {
  name: "ptrace-seize",
  summary: "PTRACE_SEIZE, which sends no SIGSTOP, then PTRACE_PEEKDATA",
  rules: ["ptrace-attach"],
  expected: ["proc-connector", "calls"],
  stopped: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, address, length, secret } = decoy;
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("ptrace-seize", { pid, address, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

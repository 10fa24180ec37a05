import { attackDecoy, type Technique } from "../technique.ts";

export const ptraceGetregs: Technique = {
  name: "ptrace-getregs",
  summary: "PTRACE_SEIZE, then the registers (PTRACE_GETREGSET) and no memory",
  rules: ["ptrace-attach"],
  expected: ["proc-connector"],
  async stage(range) {
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("ptrace-getregs", { pid }));
  },
};

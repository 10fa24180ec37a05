import { attackDecoy, type Technique } from "../technique.ts";

export const textPatchPtrace: Technique = {
  name: "text-patch-ptrace",
  summary: "write to the code of the process with PTRACE_POKETEXT",
  rules: ["ptrace-attach"],
  expected: ["proc-connector"],
  stopped: true,
  async stage(range) {
    return attackDecoy(range, ({ pid, codeAddress }, attacker) =>
      attacker.act("text-patch-ptrace", { pid, address: codeAddress }),
    );
  },
};

import { attackDecoy, type Technique } from "../technique.ts";

export const criuLikeSeize: Technique = {
  name: "criu-like-seize",
  summary: "as a checkpoint begins: every thread seized (PTRACE_O_SUSPEND_SECCOMP), registers, kcmp, map_files",
  rules: ["ptrace-attach"],
  expected: ["proc-connector"],
  async stage(range) {
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("criu-like-seize", { pid }));
  },
};

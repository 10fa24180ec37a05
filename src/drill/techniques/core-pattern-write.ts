import { by, type Technique } from "../technique.ts";

export const corePatternWrite: Technique = {
  name: "core-pattern-write",
  summary: "write kernel.core_pattern (the value that stands there)",
  rules: ["core-dump"],
  expected: ["fanotify", "sysctl"],
  stopped: true,
  stoppedBy: "sysctl",
  async stage(range) {
    const attacker = await range.attacker();
    range.guard(attacker.pid);
    return {
      async act() {
        const { at } = await attacker.act("core-pattern-write");
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: by(attacker.pid) };
      },
    };
  },
};

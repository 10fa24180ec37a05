import { on, type Technique } from "../technique.ts";

export const textPatch: Technique = {
  name: "text-patch",
  summary: "write to the code of the process through /proc/PID/mem",
  rules: ["memory-read"],
  expected: ["fanotify"],
  stopped: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, codeAddress } = decoy;
    return {
      target: pid,
      async act() {
        const { at } = await attacker.act("text-patch", { pid, address: codeAddress });
        // That the memory was opened is not enough: it was written.
        const concerns = on(pid);
        return {
          at,
          attacker: attacker.pid,
          leakedBytes: 0,
          // It reads what it flips, and is stopped at that where it is to be.
          concerns: (finding) => concerns(finding) && ["write", "read-stopped"].includes(finding.operation),
        };
      },
    };
  },
};

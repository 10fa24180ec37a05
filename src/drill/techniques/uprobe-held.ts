import { needsUprobes } from "../not-done.ts";
import { attackEarly, by, on, type Technique } from "../technique.ts";

export const uprobeHeld: Technique = {
  name: "uprobe-held",
  summary: "a uprobe with an eBPF program on a function of the crypto library, set before rimon started",
  rules: ["uprobe-set"],
  expected: ["uprobes"],
  early: true,
  async stage(range) {
    needsUprobes();
    return attackEarly(range, async ({ pid }) => {
      const attacker = await range.attacker();
      await attacker.act("uprobe-hold", { pid });
      const [aboutDecoy, byAttacker] = [on(pid), by(attacker.pid)];
      return {
        attacker: attacker.pid,
        // Another drill may hold one there, too: the kernel does not tell for which process it is.
        concerns: (finding) => aboutDecoy(finding) && (finding.suspect === undefined || byAttacker(finding)),
      };
    });
  },
};

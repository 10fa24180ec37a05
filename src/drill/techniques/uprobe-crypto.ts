import { needsUprobes } from "../not-done.ts";
import { attackDecoy, type Technique } from "../technique.ts";

export const uprobeCrypto: Technique = {
  name: "uprobe-crypto",
  summary: "a uprobe on a function of the crypto library, in this process only",
  rules: ["uprobe-set", "code-modified"],
  expected: ["calls", "mmap-lock"],
  needs: "eBPF",
  namedBy: "mmap-lock",
  async stage(range) {
    needsUprobes();
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("uprobe-crypto", { pid }));
  },
};

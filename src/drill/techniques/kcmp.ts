import { attackDecoy, type Technique } from "../technique.ts";

export const kcmp: Technique = {
  name: "kcmp",
  summary: "kcmp(2): what two processes share, which asks for the right to trace",
  rules: ["maps-read"],
  expected: [],
  needs: "eBPF",
  blind: "no sensor sees kcmp on this kernel without eBPF",
  async stage(range) {
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("kcmp", { pid }));
  },
};

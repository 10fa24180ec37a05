import { attackDecoy, type Technique } from "../technique.ts";

export const prlimitMemlock: Technique = {
  name: "prlimit-memlock",
  summary: "prlimit(2): RLIMIT_MEMLOCK of the process lowered to 0, so that what it keeps in memory may be paged out",
  rules: ["isolation-changed"],
  expected: ["snapshots"],
  anonymous: true,
  knows: "snapshots",
  async stage(range) {
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("prlimit-memlock", { pid }));
  },
};

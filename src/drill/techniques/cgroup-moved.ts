import { attackDecoy, type Technique } from "../technique.ts";

export const cgroupMoved: Technique = {
  name: "cgroup-moved",
  summary: "the process moved to another cgroup, out of its limits",
  rules: ["isolation-changed"],
  expected: ["snapshots"],
  anonymous: true,
  knows: "snapshots",
  async stage(range) {
    const path = range.otherCgroup();
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("move-to-cgroup", { pid, path }));
  },
};

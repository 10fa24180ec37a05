import { attackDecoy, type Technique } from "../technique.ts";

export const coredumpFilterWrite: Technique = {
  name: "coredump-filter-write",
  summary: "write /proc/PID/coredump_filter, so that a dump holds more",
  rules: ["core-dump"],
  expected: ["fanotify"],
  async stage(range) {
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("widen-coredump-filter", { pid }));
  },
};

import { attackDecoy, type Technique } from "../technique.ts";

export const auxvRead: Technique = {
  name: "auxv-read",
  summary: "read /proc/PID/auxv: where the program, its loader and the vDSO lie",
  rules: ["maps-read"],
  expected: ["fanotify"],
  async stage(range) {
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("read-file", { path: `/proc/${pid}/auxv` }));
  },
};

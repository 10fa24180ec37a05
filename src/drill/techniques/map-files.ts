import { attackDecoy, type Technique } from "../technique.ts";

export const mapFiles: Technique = {
  name: "map-files",
  summary: "read the links in /proc/PID/map_files",
  rules: ["maps-read"],
  expected: ["fanotify", "mmap-lock"],
  async stage(range) {
    return attackDecoy(range, ({ pid }, attacker) => attacker.act("read-map-files", { pid }));
  },
};

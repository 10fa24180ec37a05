import { on, type Technique } from "../technique.ts";

export const mapsRead: Technique = {
  name: "maps-read",
  summary: "read /proc/PID/maps, the step before reading memory",
  rules: ["maps-read"],
  expected: ["fanotify"],
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid } = decoy;
    return {
      target: pid,
      async act() {
        const { at } = await attacker.act("read-file", { path: `/proc/${pid}/maps` });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: on(pid) };
      },
    };
  },
};

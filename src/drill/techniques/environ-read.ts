import { leakedToken } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const environRead: Technique = {
  name: "environ-read",
  summary: "read /proc/PID/environ, where a token stands",
  rules: ["environ-read"],
  expected: ["fanotify"],
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, token } = decoy;
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("read-file", { path: `/proc/${pid}/environ` });
        return { at, attacker: attacker.pid, leakedBytes: leakedToken(token, bytes), concerns: on(pid) };
      },
    };
  },
};

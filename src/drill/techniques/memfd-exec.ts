import { realpathSync } from "node:fs";
import { by, type Technique } from "../technique.ts";

export const memfdExec: Technique = {
  name: "memfd-exec",
  summary: "a program executed from memory (memfd_create), which has no file",
  rules: ["fileless-exec"],
  expected: ["exec"],
  needs: "eBPF",
  async stage(range) {
    const attacker = await range.attacker();
    const path = realpathSync(range.find("cat"));
    await attacker.act("hold-memfd", { path });
    return {
      async act() {
        const { at } = await attacker.act("exec-held", { path });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: by(attacker.pid) };
      },
    };
  },
};

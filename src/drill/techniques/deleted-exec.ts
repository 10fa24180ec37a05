import { realpathSync } from "node:fs";
import { by, type Technique } from "../technique.ts";

export const deletedExec: Technique = {
  name: "deleted-exec",
  summary: "a program whose file is removed before it is started, by its descriptor",
  rules: ["fileless-exec"],
  expected: ["exec"],
  needs: "eBPF",
  async stage(range) {
    const attacker = await range.attacker();
    const path = realpathSync(range.find("cat"));
    await attacker.act("hold-deleted", { path, folder: range.folder });
    return {
      async act() {
        const { at } = await attacker.act("exec-held", { path });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: by(attacker.pid) };
      },
    };
  },
};

import { realpathSync } from "node:fs";
import { by, type Technique } from "../technique.ts";

export const deletedExec: Technique = {
  name: "deleted-exec",
  summary: "a program whose file is removed once it runs",
  rules: ["fileless-exec"],
  expected: [],
  blind: "the file still has its name when it is started, and nobody looks again",
  async stage(range) {
    const attacker = await range.attacker();
    const path = realpathSync(range.find("cat"));
    return {
      async act() {
        const { at } = await attacker.act("deleted-exec", { path, folder: range.folder });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: by(attacker.pid) };
      },
    };
  },
};

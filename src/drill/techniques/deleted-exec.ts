import { realpathSync } from "node:fs";
import { by, type Technique } from "../technique.ts";

export const deletedExec: Technique = {
  name: "deleted-exec",
  summary: "a program whose file is removed once it runs",
  rules: ["debugger-present"],
  expected: [],
  blind: "it is seen, but no rule judges where a program that touches nothing protected came from",
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

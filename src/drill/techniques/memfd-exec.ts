import { realpathSync } from "node:fs";
import { by, type Technique } from "../technique.ts";

export const memfdExec: Technique = {
  name: "memfd-exec",
  summary: "a program executed from memory (memfd_create), which has no file",
  rules: ["debugger-present"],
  expected: [],
  blind: "it is seen, but no rule judges where a program that touches nothing protected came from",
  async stage(range) {
    const attacker = await range.attacker();
    const path = realpathSync(range.find("cat"));
    return {
      async act() {
        const { at } = await attacker.act("memfd-exec", { path });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: by(attacker.pid) };
      },
    };
  },
};

import { join } from "node:path";
import { about, type Technique } from "../technique.ts";

export const fileSwapped: Technique = {
  name: "file-swapped",
  summary: "a program that is known changed, executed, and put back with its old times",
  rules: ["file-changed", "file-touched"],
  expected: ["file-events"],
  anonymous: "sometimes",
  knows: "files",
  async stage(range) {
    const attacker = await range.attacker();
    const path = join(range.ground.files().folder, this.name);
    return {
      async act() {
        const { at } = await attacker.act("swap-use-restore", { path });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: about(path) };
      },
    };
  },
};

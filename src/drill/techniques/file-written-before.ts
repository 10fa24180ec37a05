import { join } from "node:path";
import { about, type Technique } from "../technique.ts";

export const fileWrittenBefore: Technique = {
  name: "file-written-before",
  summary: "a file that is known written to before rimon started",
  rules: ["file-changed"],
  expected: ["files"],
  anonymous: true,
  early: true,
  knows: "files",
  async stage(range) {
    const attacker = await range.attacker();
    const path = join(range.ground.files().folder, this.name);
    await attacker.act("write-at", { path, address: "0" });
    return {
      async act() {
        return { at: range.monitorStartedAt(), leakedBytes: 0, concerns: about(path) };
      },
    };
  },
};

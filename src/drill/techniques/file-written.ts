import { join } from "node:path";
import { about, type Technique } from "../technique.ts";

export const fileWritten: Technique = {
  name: "file-written",
  summary: "a file that is known written to",
  rules: ["file-changed", "file-touched"],
  expected: ["file-events"],
  // inotify, where fanotify cannot be had, does not say who.
  anonymous: "sometimes",
  knows: "files",
  async stage(range) {
    const attacker = await range.attacker();
    const path = join(range.ground.files().folder, this.name);
    return {
      async act() {
        const { at } = await attacker.act("write-at", { path, address: "0" });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: about(path) };
      },
    };
  },
};

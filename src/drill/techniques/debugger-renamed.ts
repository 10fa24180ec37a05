import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { NotRun } from "../not-done.ts";
import { by, type Technique } from "../technique.ts";

/** Programs with arguments at which they wait for their input. */
const DEBUGGERS: readonly { readonly program: string; readonly args: readonly string[] }[] = [
  { program: "gdb", args: ["-nx", "-q"] },
  { program: "strace", args: ["-o", "/dev/null", "cat"] },
];

export const debuggerRenamed: Technique = {
  name: "debugger-renamed",
  summary: "a debugger copied to a harmless name",
  rules: ["debugger-present"],
  expected: ["executables"],
  async stage(range) {
    for (const { program, args } of DEBUGGERS) {
      let path: string;
      try {
        path = range.find(program);
      } catch {
        continue;
      }
      const copy = join(range.folder, "font-cache");
      copyFileSync(path, copy);
      const { pid, start } = await range.tool(copy, args);
      return {
        async act() {
          return { at: start(), attacker: pid, leakedBytes: 0, concerns: by(pid) };
        },
      };
    }
    throw new NotRun(`none of ${DEBUGGERS.map(({ program }) => program).join(", ")} is installed`);
  },
};

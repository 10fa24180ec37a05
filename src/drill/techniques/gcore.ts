import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { NotRun, Refused } from "../not-done.ts";
import { leakedToken } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const gcore: Technique = {
  name: "gcore",
  summary: "gcore: gdb attaches and writes a core file",
  rules: ["debugger-present", "ptrace-attach"],
  expected: ["proc-connector", "exec", "process-table"],
  async stage(range) {
    const program = findGcore(range.find);
    // A core file of node has hundreds of megabytes; this decoy's has one.
    const { pid, token } = range.smallDecoy();
    const tool = await range.tool(program, ["-o", join(range.folder, "core"), String(pid)]);
    return {
      target: pid,
      async act() {
        const at = tool.start();
        await tool.exited;
        const file = readdirSync(range.folder).find((name) => name === `core.${pid}`);
        if (file === undefined) throw new Refused("gcore wrote no core file");
        const leakedBytes = leakedToken(token, readFileSync(join(range.folder, file)));
        return { at, attacker: tool.pid, leakedBytes, concerns: on(pid) };
      },
    };
  },
};

function findGcore(find: (program: string) => string): string {
  try {
    find("gdb");
    return find("gcore");
  } catch {
    throw new NotRun("gdb is not installed");
  }
}

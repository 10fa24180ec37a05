import { leakedToken } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const nodeInspect: Technique = {
  name: "node-inspect",
  summary: "the process is started with --inspect, and the inspector evaluates what it is told",
  rules: ["inspector-opened"],
  expected: ["exec", "proc-connector", "process-table"],
  anonymous: true,
  async stage(range) {
    const nodeOptions = ["--inspect=127.0.0.1:0"];
    const [begin, attacker] = await Promise.all([range.decoyToCome({ nodeOptions }), range.attacker()]);
    return {
      async act() {
        const at = process.hrtime.bigint();
        const { pid, token } = await begin();
        const { bytes } = await attacker.act("inspect", { pid });
        return { at, attacker: attacker.pid, leakedBytes: leakedToken(token, bytes), concerns: on(pid) };
      },
    };
  },
};

import { leakedToken } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const nodeSigusr1: Technique = {
  name: "node-sigusr1",
  summary: "SIGUSR1 opens node's inspector, which then evaluates what it is told",
  rules: ["debugger-present"],
  expected: [],
  needs: "eBPF",
  blind: "no sensor sees who sends a signal on this kernel without eBPF",
  async stage(range) {
    // Any port that is free, not the one at which a person may be debugging.
    const nodeOptions = ["--inspect-port=127.0.0.1:0"];
    const [decoy, attacker] = await Promise.all([range.decoy({ nodeOptions }), range.attacker()]);
    const { pid, token } = decoy;
    return {
      target: pid,
      async act() {
        const { at } = await attacker.act("signal", { pid, signal: "SIGUSR1" });
        const { bytes } = await attacker.act("inspect", { pid });
        return { at, attacker: attacker.pid, leakedBytes: leakedToken(token, bytes), concerns: on(pid) };
      },
    };
  },
};

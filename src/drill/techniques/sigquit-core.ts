import { on, type Technique } from "../technique.ts";

export const sigquitCore: Technique = {
  name: "sigquit-core",
  summary: "kill -QUIT, which dumps core as well",
  rules: ["core-dump"],
  expected: ["proc-connector"],
  anonymous: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid } = decoy;
    return {
      target: pid,
      async act() {
        // As in abort-core: no dump is written.
        await decoy.harden();
        const { at } = await attacker.act("signal", { pid, signal: "SIGQUIT" });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: on(pid) };
      },
    };
  },
};

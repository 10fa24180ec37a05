import { on, type Technique } from "../technique.ts";

export const abortCore: Technique = {
  name: "abort-core",
  summary: "kill -ABRT, the signal that dumps core",
  rules: ["core-dump"],
  expected: ["proc-connector"],
  anonymous: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid } = decoy;
    return {
      target: pid,
      async act() {
        // Not dumpable: the kernel says that it dumps, and then neither writes a file nor calls core_pattern's program.
        await decoy.harden();
        const { at } = await attacker.act("signal", { pid, signal: "SIGABRT" });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: on(pid) };
      },
    };
  },
};

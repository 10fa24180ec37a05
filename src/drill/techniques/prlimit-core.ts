import { on, type Technique } from "../technique.ts";

export const prlimitCore: Technique = {
  name: "prlimit-core",
  summary: "prlimit(2): RLIMIT_CORE of the process raised from 0 as far as it goes",
  rules: ["core-dump"],
  expected: ["posture"],
  anonymous: true,
  settled: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid } = decoy;
    await decoy.lowerCoreLimit();
    return {
      target: pid,
      async act() {
        const { at } = await attacker.act("prlimit-core", { pid });
        const concerns = on(pid);
        return {
          at,
          attacker: attacker.pid,
          leakedBytes: 0,
          concerns: (finding) => concerns(finding) && finding.technique === "rlimit-core",
        };
      },
    };
  },
};

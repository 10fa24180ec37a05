import { on, type Technique } from "../technique.ts";

export const ldAudit: Technique = {
  name: "ld-audit",
  summary: "the process is started with LD_AUDIT",
  rules: ["library-preloaded"],
  expected: ["exec", "posture"],
  anonymous: true,
  async stage(range) {
    const begin = await range.decoyToCome({ environment: { LD_AUDIT: range.library() } });
    return {
      async act() {
        const at = process.hrtime.bigint();
        const { pid } = await begin();
        const concerns = on(pid);
        return { at, leakedBytes: 0, concerns: (finding) => concerns(finding) && finding.technique === "ld-audit" };
      },
    };
  },
};

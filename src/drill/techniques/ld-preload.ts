import { on, type Technique } from "../technique.ts";

export const ldPreload: Technique = {
  name: "ld-preload",
  summary: "the process is started with LD_PRELOAD",
  rules: ["library-preloaded"],
  expected: ["exec", "posture"],
  anonymous: true,
  async stage(range) {
    const begin = await range.decoyToCome({ environment: { LD_PRELOAD: range.library() } });
    return {
      async act() {
        const at = process.hrtime.bigint();
        const { pid } = await begin();
        const concerns = on(pid);
        // Not the library's mapping, which any way of loading it makes.
        return { at, leakedBytes: 0, concerns: (finding) => concerns(finding) && finding.technique === "ld-preload" };
      },
    };
  },
};

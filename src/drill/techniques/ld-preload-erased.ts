import { on, type Technique } from "../technique.ts";

export const ldPreloadErased: Technique = {
  name: "ld-preload-erased",
  summary: "the process is started with LD_PRELOAD, which the library takes out of the environment before main()",
  rules: ["library-preloaded"],
  expected: ["exec"],
  needs: "eBPF",
  anonymous: true,
  async stage(range) {
    const begin = await range.decoyToCome({ environment: range.hidingLibrary() });
    return {
      async act() {
        const at = process.hrtime.bigint();
        const { pid } = await begin();
        const concerns = on(pid);
        // Not the library's mapping, which any way of loading it makes; and not what was read in time by luck.
        return {
          at,
          leakedBytes: 0,
          concerns: (finding) => concerns(finding) && finding.technique === "ld-preload" && finding.sensor === "exec",
        };
      },
    };
  },
};

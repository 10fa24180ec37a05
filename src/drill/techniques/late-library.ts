import { on, type Technique } from "../technique.ts";

export const lateLibrary: Technique = {
  name: "late-library",
  summary: "dlopen of a library long after the start",
  rules: ["maps-changed", "library-preloaded"],
  expected: ["address-space"],
  anonymous: true,
  settled: true,
  async stage(range) {
    const decoy = await range.decoy();
    const library = range.addon();
    const { pid } = decoy;
    return {
      target: pid,
      async act() {
        const at = await decoy.load(library);
        return { at, leakedBytes: 0, concerns: on(pid) };
      },
    };
  },
};

import { on, type Technique } from "../technique.ts";

export const dlopenDevShm: Technique = {
  name: "dlopen-dev-shm",
  summary: "dlopen of a library in /dev/shm, where everybody may write and no disk is",
  rules: ["library-preloaded"],
  expected: ["address-space"],
  anonymous: true,
  async stage(range) {
    const library = range.addon(range.sharedMemory());
    const decoy = await range.decoy();
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

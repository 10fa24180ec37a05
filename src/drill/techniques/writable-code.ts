import { on, type Technique } from "../technique.ts";

export const writableCode: Technique = {
  name: "writable-code",
  summary: "mprotect: a page of data becomes executable",
  rules: ["maps-changed"],
  expected: ["address-space"],
  anonymous: true,
  settled: true,
  async stage(range) {
    const decoy = await range.decoy();
    const { pid } = decoy;
    return {
      target: pid,
      async act() {
        const at = await decoy.openPage();
        return { at, leakedBytes: 0, concerns: on(pid) };
      },
    };
  },
};

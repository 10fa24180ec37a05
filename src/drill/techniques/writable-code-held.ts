import { attackEarly, type Technique } from "../technique.ts";

export const writableCodeHeld: Technique = {
  name: "writable-code-held",
  summary: "a page that has been writable and executable since before rimon started",
  rules: ["maps-changed"],
  expected: ["address-space"],
  anonymous: true,
  early: true,
  async stage(range) {
    return attackEarly(range, async (decoy) => {
      await decoy.openPage();
      return {};
    });
  },
};

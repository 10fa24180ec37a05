import type { Technique } from "../technique.ts";

export const ownFileMode: Technique = {
  name: "own-file-mode",
  summary: "open the drill's own audit log to others (chmod)",
  rules: ["own-file-changed"],
  expected: ["own-files"],
  // Not every filesystem has the handles by which fanotify reports it.
  anonymous: "sometimes",
  async stage(range) {
    const attacker = await range.attacker();
    const { auditLog } = range;
    return {
      async act() {
        const { at } = await attacker.act("change-mode", { path: auditLog });
        return { at, attacker: attacker.pid, leakedBytes: 0, concerns: ({ subject }) => subject === auditLog };
      },
    };
  },
};

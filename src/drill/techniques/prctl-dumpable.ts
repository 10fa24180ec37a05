import { on, type Technique } from "../technique.ts";

export const prctlDumpable: Technique = {
  name: "prctl-dumpable",
  summary: "the process makes itself dumpable again (PR_SET_DUMPABLE), as injected code would",
  rules: ["core-dump"],
  expected: ["calls", "posture"],
  anonymous: true,
  settled: true,
  async stage(range) {
    const decoy = await range.decoy();
    const { pid } = decoy;
    // The files of a process that is root's are root's whether it is dumpable or not.
    await decoy.dropRoot();
    await decoy.harden();
    return {
      target: pid,
      async act() {
        const at = await decoy.becomeDumpable();
        const concerns = on(pid);
        return { at, leakedBytes: 0, concerns: (finding) => concerns(finding) && finding.technique === "dumpable" };
      },
    };
  },
};

import { on, type Technique } from "../technique.ts";

export const codeBreakpoint: Technique = {
  name: "code-breakpoint",
  summary: "a tracer puts a breakpoint into the code of the process, lets go and leaves it there",
  rules: ["code-modified"],
  expected: ["code-pages"],
  anonymous: true,
  stopped: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, codeAddress } = decoy;
    return {
      target: pid,
      async act() {
        const { at } = await attacker.act("code-breakpoint", { pid, address: codeAddress });
        const concerns = on(pid);
        return {
          at,
          attacker: attacker.pid,
          leakedBytes: 0,
          // Where it is to be stopped, it is when it reads what it is about to write.
          concerns: (finding) =>
            concerns(finding) && (finding.technique === "breakpoint" || finding.rule !== "code-modified"),
        };
      },
    };
  },
};

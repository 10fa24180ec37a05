import { attackDecoy, type Technique } from "../technique.ts";

export const processMadvise: Technique = {
  name: "process-madvise",
  summary: "process_madvise(2): where the kernel keeps the pages of the process (MADV_COLD)",
  rules: ["memory-read"],
  expected: ["mmap-lock"],
  needs: "eBPF",
  async stage(range) {
    return attackDecoy(range, ({ pid, address, length }, attacker) =>
      attacker.act("process-madvise", { pid, address, length }),
    );
  },
};

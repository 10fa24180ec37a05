import { on, type Technique } from "../technique.ts";

/** In the page of the secret, where nothing stands. */
const BESIDE_SECRET = 2_048n;

export const procMemWrite: Technique = {
  name: "proc-mem-write",
  summary: "write to data of the process through /proc/PID/mem",
  rules: ["memory-read"],
  expected: ["fanotify", "mmap-lock"],
  stopped: true,
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, address } = decoy;
    return {
      target: pid,
      async act() {
        const { at } = await attacker.act("write-at", {
          path: `/proc/${pid}/mem`,
          address: String(BigInt(address) + BESIDE_SECRET),
        });
        // That the memory was opened is not enough: it was written.
        const concerns = on(pid);
        return {
          at,
          attacker: attacker.pid,
          leakedBytes: 0,
          concerns: (finding) => concerns(finding) && finding.operation.startsWith("write"),
        };
      },
    };
  },
};

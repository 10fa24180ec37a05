import { join } from "node:path";
import { leaked } from "../range.ts";
import { by, on, type Technique } from "../technique.ts";

export const procMemPassedFd: Technique = {
  name: "proc-mem-passed-fd",
  summary: "read by a descriptor of /proc/PID/mem that another process opened and passed on (SCM_RIGHTS)",
  rules: ["memory-read"],
  expected: ["fanotify", "mmap-lock"],
  stopped: true,
  async stage(range) {
    const [decoy, opener, reader] = await Promise.all([range.decoy(), range.attacker(), range.attacker()]);
    const { pid, address, length, secret } = decoy;
    const path = join(range.folder, "socket");
    await reader.act("bind-socket", { path });
    await opener.act("hold", { path: `/proc/${pid}/mem` });
    return {
      target: pid,
      async act() {
        await opener.act("pass-held", { path });
        const { at, bytes } = await reader.act("read-passed", { address, length });
        // That another opened it is not enough: this one read.
        const [ofDecoy, byReader] = [on(pid), by(reader.pid)];
        return {
          at,
          attacker: reader.pid,
          leakedBytes: leaked(secret, bytes),
          concerns: (finding) => ofDecoy(finding) && byReader(finding),
        };
      },
    };
  },
};

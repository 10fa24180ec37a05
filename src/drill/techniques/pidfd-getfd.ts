import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const pidfdGetfd: Technique = {
  name: "pidfd-getfd",
  summary: "pidfd_getfd(2): a copy of a descriptor the process holds",
  rules: ["memory-read"],
  expected: [],
  needs: "eBPF",
  yama: true,
  blind: "no sensor sees pidfd_getfd on this kernel without eBPF",
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, fd, length, secret } = decoy;
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("pidfd-getfd", { pid, fd, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

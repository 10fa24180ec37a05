import { leaked } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const pidfdGetfdSocket: Technique = {
  name: "pidfd-getfd-socket",
  summary: "pidfd_getfd(2): a copy of a connection, looked into before its owner reads it",
  rules: ["memory-read"],
  expected: [],
  needs: "eBPF",
  yama: true,
  blind: "no sensor sees pidfd_getfd on this kernel without eBPF",
  async stage(range) {
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, length, secret } = decoy;
    const fd = await decoy.holdSocket();
    return {
      target: pid,
      async act() {
        const { at, bytes } = await attacker.act("pidfd-getfd", { pid, fd, length });
        return { at, attacker: attacker.pid, leakedBytes: leaked(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

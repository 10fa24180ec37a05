import { needs } from "../not-done.ts";
import { leaked } from "../range.ts";
import { attackDecoy, type Technique } from "../technique.ts";

export const bpfCopyFromUserTask: Technique = {
  name: "bpf-copy-from-user-task",
  summary: "an eBPF task iterator that copies memory of the process (bpf_copy_from_user_task)",
  rules: ["memory-read"],
  expected: ["mmap-lock"],
  stopped: true,
  needs: "eBPF",
  async stage(range) {
    needs("/sys/kernel/btf/vmlinux", "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
    return attackDecoy(
      range,
      async ({ length, secret }, attacker) => {
        const { at, bytes } = await attacker.act("read-copier", { length });
        return { at, leakedBytes: leaked(secret, bytes) };
      },
      // Nothing of the process is touched before it is read.
      ({ pid, address }, attacker) => attacker.act("hold-copier", { pid, address }),
    );
  },
};

import { needs } from "../not-done.ts";
import { leakedSomewhere } from "../range.ts";
import { on, type Technique } from "../technique.ts";

export const perfSampleStack: Technique = {
  name: "perf-sample-stack",
  summary: "perf_event_open: samples of the stack of a thread that works with the secret",
  rules: ["memory-read"],
  expected: [],
  needs: "eBPF",
  blind: "no sensor sees perf_event_open on this kernel without eBPF",
  async stage(range) {
    needs("/sys/bus/event_source/devices/software", "this kernel has no perf events (CONFIG_PERF_EVENTS)");
    const [decoy, attacker] = await Promise.all([range.decoy(), range.attacker()]);
    const { pid, secret } = decoy;
    return {
      target: pid,
      async act() {
        // It keeps a processor busy, so only now.
        const tid = await decoy.startComputing();
        const { at, bytes } = await attacker.act("perf-sample-stack", { pid: tid });
        return { at, attacker: attacker.pid, leakedBytes: leakedSomewhere(secret, bytes), concerns: on(pid) };
      },
    };
  },
};

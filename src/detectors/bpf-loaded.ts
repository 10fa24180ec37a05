import type { Process } from "../observation.ts";
import { baseName, nameOf, subjectOf, type Detector } from "./detector.ts";
import { isInTrustedFolder } from "./ordinary-readers.ts";

/** systemd filters devices and addresses per unit; container runtimes filter devices; network plug-ins route. */
const LOADERS = new Set([
  "systemd", "systemd-executor", "systemd-networkd", "systemd-resolved", "systemd-udevd", "systemd-nsresourced",
  "runc", "crun", "youki", "containerd", "containerd-shim-runc-v2", "dockerd", "conmon", "podman", "crio", "kubelet",
  "cilium-agent", "calico-node", "lxc-start", "lxd", "incusd", "libvirtd", "virtqemud", "snap-confine",
]); // prettier-ignore

/** Of enum bpf_prog_type, those that look into other programs or the kernel. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ["1", "a socket filter"],
  ["2", "a kprobe or uprobe program"],
  ["5", "a tracepoint program"],
  ["7", "a perf event program"],
  ["17", "a raw tracepoint program"],
  ["24", "a raw tracepoint program"],
  ["26", "a tracing program"],
  ["29", "an LSM program"],
]);

export const bpfLoaded: Detector = {
  rule: "bpf-loaded",
  severity: "low",
  summary: "A program that is no usual loader asked the kernel to load an eBPF program.",
  guide: {
    means:
      "An eBPF program runs in the kernel. One on a uprobe or a tracepoint can read the memory of whatever process it is run for, a protected one too, and nothing that watches from outside sees that reading.",
    fires:
      "An eBPF program of rimon saw bpf(BPF_PROG_LOAD) by anybody but rimon itself, systemd, a container runtime or a network plug-in in its usual folder. It is told as it is asked for, also where the kernel refused.",
    attacker: "bpftrace, eCapture, a rootkit's loader: look for a uprobe-set on a protected process beside it.",
    todo: "bpftool prog and bpftool perf show what is loaded, by whom, and what it is attached to. Ask whose it is.",
    harmless: "Observability and security agents. Add an exception for their executable.",
    attack: [
      { id: "T1014", name: "Rootkit" },
      { id: "T1056.004", name: "Input Capture: Credential API Hooking" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "call.made" || observation.call !== "bpf-load") return;
    const { byPid, argument } = observation;
    if (isLoader(state.find(byPid)?.process)) return;
    const kind = (argument !== undefined && KINDS.get(argument)) || "an eBPF program";
    return {
      rule: this.rule,
      technique: "bpf-prog-load",
      operation: "load",
      suspect: subjectOf(state, byPid),
      message: `${nameOf(state, byPid)} asked to load ${kind}${KINDS.has(argument ?? "") ? " (eBPF)" : ""}`,
      evidence: [observation],
    };
  },
};

function isLoader(process: Process | undefined): boolean {
  return process?.exe !== undefined && LOADERS.has(baseName(process.exe)) && isInTrustedFolder(process.exe);
}

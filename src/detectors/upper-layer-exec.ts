import { managerOf } from "../known-managers.ts";
import type { Process } from "../observation.ts";
import { containerOf } from "../protection.ts";
import type { State } from "../state.ts";
import { isAllowed } from "./allowed.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";

export const upperLayerExec: Detector = {
  rule: "upper-layer-exec",
  severity: "medium",
  summary:
    "A protected process, or one beside it in its container, runs a program that was added or changed since the container was made.",
  guide: {
    means:
      "What runs there is not what the image brought: it came later, by a download, a copy or a write to the program itself.",
    fires:
      "The eBPF program at exec found that overlayfs has the executable in its upper layer, and the process is protected or is in the container (or mount namespace) of one that is. Low if a package manager started it. Of a script it is the interpreter that counts, and a change of mode or owner alone counts as well. Everywhere else in the node it is recorded and no finding.",
    attacker:
      "Who gets into a container has little there to work with, so a dumper, a shell or a miner is brought along; or the program that holds the keys is replaced, to be started the next time.",
    todo: "Compare the file with the image (docker diff, crictl, or the upperdir that /proc/PID/mountinfo names), keep it as evidence, and make the container anew from its image.",
    harmless:
      "Containers that install or build what they run when they start: list the programs under rules.upper-layer-exec.allow, as paths or as folders ending in /. On a node whose root is an overlay (netboot, live systems) all that was installed since the boot counts: disable the rule there.",
    attack: [
      { id: "T1105", name: "Ingress Tool Transfer" },
      { id: "T1554", name: "Compromise Host Software Binary" },
    ],
  },
  detect(observation, state, options) {
    if (observation.kind !== "upper.executed") return;
    const { pid, startTime, name } = observation;
    const known = state.find(pid, startTime);
    if (known === undefined) return;
    const path = known.process.exe?.replace(/ \(deleted\)$/, "") ?? name;
    if (isAllowed(path, options.allow)) return;
    const itself = subjectOf(state, pid, startTime);
    const neighbour = known.protectedBy === undefined ? neighbourOf(known.process, state) : undefined;
    if (known.protectedBy === undefined && neighbour === undefined) return;
    const installing = managerOf(state.lineage(pid, startTime).slice(1)) !== undefined;
    return {
      rule: this.rule,
      ...(installing ? { severity: "low" } : {}),
      technique: this.rule,
      operation: "exec",
      ...(neighbour === undefined ? { target: itself } : { suspect: itself, target: subjectOf(state, neighbour.pid) }),
      subject: path,
      message: `${nameOf(state, pid, startTime)} runs ${path}, which was added or changed since ${
        neighbour === undefined ? "its container" : `the container of ${nameOf(state, neighbour.pid)}`
      } was made`,
      evidence: [observation],
    };
  },
};

/** A protected process of the same container; what is in the node's own mounts is in none. */
function neighbourOf(process: Process, state: State): Process | undefined {
  const container = containerIn(process);
  const { mountNamespace } = process;
  const isOwn = mountNamespace !== undefined && mountNamespace !== state.find(1)?.process.mountNamespace;
  for (const { process: other } of state.protectedProcesses()) {
    if (container !== undefined && container === containerIn(other)) return other;
    if (isOwn && mountNamespace === other.mountNamespace) return other;
  }
  return undefined;
}

function containerIn({ cgroup }: Process): string | undefined {
  return cgroup === undefined ? undefined : containerOf(cgroup);
}

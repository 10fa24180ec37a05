import type { Detector } from "./detector.ts";

export const procfsMounted: Detector = {
  rule: "procfs-mounted",
  severity: "low",
  summary: "A further procfs was mounted on the node.",
  guide: {
    means:
      "Each mount of procfs is a file system of its own, and gives another path to the memory of every process. It is watched from the moment it was noticed.",
    fires: "A mount table that rimon watches changed and holds a procfs that was not there before.",
    attacker: "Mounts /proc again at an odd place and reads PID/mem there, past rules that name /proc.",
    todo: "Containers and chroots do this all day. A mount under /tmp or in somebody's home folder deserves a look.",
    harmless: "Container starts, chroots, sandboxes.",
    attack: [{ id: "T1003.007", name: "OS Credential Dumping: Proc Filesystem" }],
  },
  detect(observation) {
    if (observation.kind !== "procfs.mounted" || !observation.marked) return;
    return {
      rule: this.rule,
      technique: "procfs-mount",
      operation: "mount",
      subject: observation.path,
      message: `a procfs was mounted at ${observation.path} and is watched now`,
      evidence: [observation],
    };
  },
};

import { nameOf, subjectOf, type Detector } from "./detector.ts";
import { deedOf } from "./file-touched.ts";

const SHORT_ID = 12;

export const containerDrift: Detector = {
  rule: "container-drift",
  severity: "high",
  summary: "A file in the root filesystem of a container was changed: it is no longer what its image has.",
  guide: {
    means:
      "A container's root filesystem is its image, and an image is not written to: what it keeps lies on volumes. Somebody made, changed or removed a file in it all the same. Who did it is the process that the kernel names, by its number on the node.",
    fires:
      "With `files.containers`, as it happens, on containers whose root is an overlay (Docker, containerd, CRI-O, Podman). What had been changed before rimon first looked is told then, without a name. Attributes of folders are not told, since the kernel changes them itself when it copies one up. /tmp, /run, /var/tmp, /var/log, /var/cache and what runtimes write are left out.",
    attacker:
      "Brings tools into a container they got into, replaces a program or a library that it runs, or leaves a shell in its web root.",
    todo: "Look at the file from the node (it lies in the upper directory of the overlay, which `findmnt -N PID /` names) and at who wrote it. Replace the container by a new one; it cannot be cleaned. Then make its root read-only.",
    harmless:
      "An image that writes where it should have a volume or a tmpfs, or an administrator with docker exec or docker cp. Give it the volume, or leave the path out: `files: { rules: [{ path: /app/cache, group: ignore }] }` holds within containers, too.",
    attack: [
      { id: "T1105", name: "Ingress Tool Transfer" },
      { id: "T1525", name: "Implant Internal Image" },
      { id: "T1554", name: "Compromise Host Software Binary" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "file.touched" || observation.container === undefined) return;
    const { change, path, pid, startTime, unnamed, container } = observation;
    const who = pid === undefined ? `somebody (${unnamed ?? "not known who"})` : nameOf(state, pid, startTime);
    return {
      rule: this.rule,
      ...(change === "attributes" ? { severity: "medium" as const } : {}),
      technique: `file-${change}`,
      operation: "write",
      ...(pid === undefined ? {} : { suspect: subjectOf(state, pid, startTime) }),
      subject: `${container.slice(0, SHORT_ID)}:${path}`,
      // To write to a file of the image is to make one in its place.
      message: `${who} ${deedOf(observation).replace(/^made /, "made or wrote over ")} in container ${container.slice(0, SHORT_ID)}, whose root is no longer its image`,
      evidence: [observation],
    };
  },
};

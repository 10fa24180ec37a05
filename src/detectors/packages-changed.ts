import { nameOf, subjectOf, type Detector } from "./detector.ts";

export const packagesChanged: Detector = {
  rule: "packages-changed",
  severity: "info",
  summary: "A package manager changed watched files; those that are not as their packages say are told by name.",
  guide: {
    means:
      "Files below the watched paths were changed by dpkg, apt, rpm or the like, or by what they started. They are told together, and each was held against the hashes that the package manager itself has (/var/lib/dpkg/info/*.md5sums and its conffiles; what rpm -qa says, with modes, capabilities and where links lead). What that does not explain is told by file-touched or file-changed as well, like that of anybody: a removed file that a package still has, another mode by a script, a link in place of a file, what was moved away.",
    fires:
      "With `files.realtime`: some seconds after the package manager ended or paused, once for all that it did. Info if every file is as its package says, medium if some are of no package or nothing could be checked, high if a file differs from what its package says.",
    attacker:
      "Has a package of their own installed, or runs commands as a package's script, so that what they do looks like an upgrade. What a package brings along is as the package says: whether the package is to be trusted is the repository's signature to tell.",
    todo: "A file that differs: compare it with the package (dpkg --verify, rpm -V), and look who else wrote it meanwhile. Files of no package: made by the package's scripts, or by somebody who hid among them. If the upgrade was meant, take a new baseline.",
    harmless: "Every upgrade that you meant. A configuration file that you keep in your own version differs, too.",
    attack: [
      { id: "T1195.002", name: "Supply Chain Compromise: Compromise Software Supply Chain" },
      { id: "T1546.016", name: "Event Triggered Execution: Installer Packages" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "packages.changed") return;
    const { pid, startTime, manager, files, verified, owned, differing, differingCount, strange, strangeCount } =
      observation;
    const { database, packages } = observation;
    const severity =
      differingCount > 0 ? "high" : database === undefined || strangeCount > 0 ? "medium" : this.severity;
    const counted =
      database === undefined
        ? "what its packages say of them cannot be read"
        : `${verified} are as ${packages.length === 0 ? "packages" : packages.join(", ")} say, ${owned} are folders and links of packages`;
    const differ = differingCount === 0 ? "" : `; ${differingCount} differ: ${differing.slice(0, 8).join(", ")}`;
    const others =
      database === undefined || strangeCount === 0
        ? ""
        : `; ${strangeCount} are of no package: ${strange.slice(0, 8).join(", ")}`;
    return {
      rule: this.rule,
      severity,
      technique: differingCount > 0 ? "package-file-differs" : "package-manager",
      operation: "write",
      suspect: subjectOf(state, pid, startTime),
      subject: manager,
      message: `${nameOf(state, pid, startTime)} changed ${files} files: ${counted}${differ}${others}`,
      evidence: [observation],
    };
  },
};

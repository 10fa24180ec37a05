import { nameOf, subjectOf, type Detector } from "./detector.ts";

export const ownFileChanged: Detector = {
  rule: "own-file-changed",
  severity: "high",
  summary: "A file rimon itself depends on was changed by somebody else.",
  guide: {
    means:
      "rimon's program, its configuration, its signing key or its audit log was written, replaced, removed or cut while it ran.",
    fires:
      "fanotify reported that somebody other than rimon wrote it, or changed its mode, owner or name, or a look at the file, once in every interval, found it not to be the one rimon opened. Who did it is named where fanotify told it.",
    attacker: "Cuts the log after the act, weakens the configuration for the next start, or swaps the program.",
    todo: "rimon audit verify names the first bad record. Compare the program with its package. Copies of the log and of alerts outside the node are the evidence.",
    harmless: "An upgrade of rimon or an edit of its configuration by its operator.",
    attack: [
      { id: "T1070.002", name: "Indicator Removal: Clear Linux or Mac System Logs" },
      { id: "T1562.001", name: "Impair Defenses: Disable or Modify Tools" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "own-file.changed") return;
    const { path, role, change, pid } = observation;
    const how = {
      written: "was written",
      replaced: "was replaced",
      removed: "was removed",
      mode: "changed its mode or owner",
      truncated: "was cut",
    }[change];
    return {
      rule: this.rule,
      ...(role === "audit" || role === "key" ? { severity: "critical" as const } : {}),
      technique: `${role}-file`,
      operation: "write",
      ...(pid === undefined ? {} : { suspect: subjectOf(state, pid) }),
      subject: path,
      message: `rimon's ${role} file ${path} ${how}${pid === undefined ? "" : ` by ${nameOf(state, pid)}`}`,
      evidence: [observation],
    };
  },
};

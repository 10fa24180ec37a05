import type { BaselineOf } from "../baseline-refused.ts";
import type { Detector } from "./detector.ts";

const OF: Readonly<Record<BaselineOf, string>> = {
  isolation: "of isolation structures",
  files: "of files",
  executables: "of executables",
};

export const baselineRefused: Detector = {
  rule: "baseline-refused",
  severity: "critical",
  summary: "The sealed baseline that the node is held against is missing, changed, too old or sealed by another key.",
  guide: {
    means:
      "rimon does not believe the baseline of the configuration, so that what it would tell as a change from it may stay untold. It goes on with the copy of the last good one, or, without one, with what it finds: the finding says which. Nothing is denied for this.",
    fires:
      "The file that the configuration names cannot be read or opened with the pinned keys: the code says why (missing, empty, wrong-key, below-threshold, rolled-back, expired, other-machine, ...). It is looked at when rimon starts, when the file changes, and once an hour; baselines of files at every check. Each reason is told once.",
    attacker:
      "Takes the baseline away, cuts it, puts an older one in its place that does not know of a patched hole, or signs one of their own.",
    todo: "rimon seal verify FILE --public-key KEY says the same by hand. Find out who wrote to the file; bring the newest sealed baseline to the node again. Expired or made elsewhere: take a new one and have it signed.",
    harmless: "A baseline that was to be renewed and was not, a node that was cloned, a clock that is wrong.",
    attack: [
      { id: "T1565.001", name: "Data Manipulation: Stored Data Manipulation" },
      { id: "T1562.001", name: "Impair Defenses: Disable or Modify Tools" },
    ],
  },
  detect(observation) {
    if (observation.kind !== "baseline.refused") return;
    const { of, path, code, message, using } = observation;
    const instead = using === "last-good" ? "the last good one is used" : "there is none to use instead";
    return {
      rule: this.rule,
      technique: code,
      operation: "refuse",
      everyTenant: true,
      subject: `${of} ${path} ${code}`,
      message: `the baseline ${OF[of]}, ${path}, is refused (${code}), ${instead}: ${message}`,
      evidence: [observation],
    };
  },
};

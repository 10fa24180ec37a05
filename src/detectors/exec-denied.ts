import type { ExecJudged } from "../exec-judged.ts";
import type { Severity } from "../finding.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";

const SEVERITY: Readonly<Record<ExecJudged["mode"], Severity>> = { learn: "info", audit: "medium", enforce: "high" };

const WHY: Readonly<Record<ExecJudged["reason"], string>> = {
  rule: "",
  "written-to": "it was open for writing, so that something else could have run than was checked",
  unmarked: "its file system is not checked, or was not yet",
  deadline: "it could not be read in time",
  "too-large": "it is larger than what is read",
  unreadable: "it could not be read",
  "no-lease": "its file system cannot keep it as it was read",
  busy: "too many were read at once",
};

const JUDGED: ReadonlySet<ExecJudged["reason"]> = new Set(["rule", "written-to", "unmarked"]);

export const execDenied: Detector = {
  rule: "exec-denied",
  severity: "high",
  summary: "An executable was run that is not known here, or that a rule of the exec gate denies.",
  guide: {
    means:
      "With `gate` in the configuration every executable of the mounts named is hashed before it runs. This one is in none of the baselines, or a rule denies it; or it could not be judged, and was answered as `gate.unanswered` says. In mode enforce it failed with EPERM; in mode audit it ran.",
    fires:
      "An exec on a file system that is marked, and where `opens` is set a script or a library that an interpreter or a loader opened; below a `below: true` also what ran from a file system that was not marked yet, or cannot be (technique unmarked). `high` where it was refused, `medium` where it ran, `info` in mode learn.",
    attacker:
      "Brings a tool of its own, or changes a program that is there: writes over it, has it checked and swaps it, runs it from a mount namespace, an overlay or a tmpfs of its own.",
    todo: "Look at the digest and at who ran it. If the file belongs here, take it into a baseline (rimon gate learn), have it sealed and reload; if not, keep it as evidence and find out how it came.",
    harmless:
      "Software that was installed since the baseline was made, programs that are compiled on the node. Declare upgrades by `gate.upgrade`; rimon gate try FILE says which rule would decide.",
    attack: [
      { id: "T1204.002", name: "User Execution: Malicious File" },
      { id: "T1554", name: "Compromise Host Software Binary" },
      { id: "T1036.005", name: "Masquerading: Match Legitimate Resource Name or Location" },
    ],
  },
  detect(observation, state) {
    if (observation.kind === "gate.gap") {
      const { since, orderly, mode, at } = observation;
      const seconds = Math.round(Math.max(0, at - since) / 1_000);
      return {
        rule: this.rule,
        severity: mode === "enforce" && !orderly ? "high" : "low",
        technique: "gap",
        operation: "lose",
        subject: "exec gate",
        message: `for ${seconds} s nothing was checked before it ran: rimon ${orderly ? "was stopped" : "ended without stopping"} and what runs then is let through`,
        evidence: [observation],
      };
    }
    if (observation.kind !== "exec.judged") return;
    const { pid, startTime, path, by, mode, reason, rule, denied, opened, sha256, uid } = observation;
    // A child that was refused its program is gone at once, and was never more than a copy of what runs there.
    const known = pid !== undefined && state.find(pid, startTime) !== undefined;
    const who = known ? nameOf(state, pid, startTime) : `${by || "a program"} (${pid ?? "?"}, uid ${uid})`;
    const why = WHY[reason] || (rule === undefined ? "nothing allows it" : `rule ${rule}`);
    const digest = sha256 === undefined ? "" : `, sha256 ${sha256}`;
    return {
      rule: this.rule,
      severity: denied ? "high" : JUDGED.has(reason) ? SEVERITY[mode] : "medium",
      technique: reason === "rule" ? (opened ? "open" : "exec") : reason,
      operation: denied ? "deny" : "run",
      ...(pid === undefined ? {} : { suspect: subjectOf(state, pid, startTime) }),
      subject: sha256 ?? path,
      message: `${who} ${denied ? "was refused" : opened ? "opened" : "ran"} ${path}: ${why}${digest}`,
      evidence: [observation],
    };
  },
};

import type { FileTouched } from "../file-touched.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";

export const fileTouched: Detector = {
  rule: "file-touched",
  severity: "high",
  summary: "A watched file was changed, and this is who did it.",
  guide: {
    means:
      "A file below the watched paths was made, written, moved, removed or given other attributes, as it happened. Who did it is the process that the kernel names.",
    fires:
      "With `files.realtime` in the configuration, for every change but those that a package manager made and its packages explain (packages-changed). Where there is a baseline the file is compared with it first: what differs is told by file-changed, and here is told what is as it was after all, changed and changed back.",
    attacker:
      "Replaces a program or a library, plants a unit, a cron job or a key in authorized_keys; or swaps a file for the moment in which it is run, and puts it back before the next scan.",
    todo: "Look at the file and at who changed it: its parents, its user, what else it did. If nobody meant to, treat what the file was part of as compromised.",
    harmless:
      "An administrator or a tool of yours (Ansible, a deployment). Add an exception for its executable with a reason, or leave the path out by a rule with the group ignore.",
    attack: [
      { id: "T1565.001", name: "Data Manipulation: Stored Data Manipulation" },
      { id: "T1554", name: "Compromise Host Software Binary" },
      { id: "T1053.003", name: "Scheduled Task/Job: Cron" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "file.touched" || observation.container !== undefined) return;
    const { change, path, pid, startTime, unnamed, asBefore } = observation;
    const who = pid === undefined ? `somebody (${unnamed ?? "not known who"})` : nameOf(state, pid, startTime);
    const behind =
      asBefore === true
        ? "; it is as the baseline says: nothing that counts was changed, or it was changed back"
        : observation.crossed === "in"
          ? ", into what is watched"
          : observation.crossed === "out"
            ? ", out of what is watched"
            : "";
    return {
      rule: this.rule,
      ...(asBefore === true || change === "attributes" ? { severity: "medium" as const } : {}),
      technique: `file-${change}`,
      operation: "write",
      ...(pid === undefined ? {} : { suspect: subjectOf(state, pid, startTime) }),
      subject: path,
      message: `${who} ${deedOf(observation)}${behind}`,
      evidence: [observation],
    };
  },
};

/** "wrote to /etc/passwd" */
export function deedOf({ change, path, from, folder, files }: FileTouched): string {
  const what = `${folder ? "the folder " : ""}${path}`;
  if (files !== undefined) return `changed ${files.count} files in ${path}: ${files.names.join(", ")}, ...`;
  switch (change) {
    case "created":
      return `made ${what}`;
    case "removed":
      return `removed ${what}`;
    case "written":
      return `wrote to ${what}`;
    case "attributes":
      return `changed the attributes of ${what}`;
    case "moved":
      return `moved ${from === undefined ? "something" : from} to ${what}`;
  }
}

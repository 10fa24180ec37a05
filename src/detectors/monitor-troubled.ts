import type { Detector } from "./detector.ts";

export const monitorTroubled: Detector = {
  rule: "monitor-troubled",
  severity: "high",
  summary:
    "rimon cannot write its audit log, its recording or its output, deliver its alerts, refuse what it is to refuse or trust its own process.",
  guide: {
    means: "Detection goes on, but evidence or alerts are held back.",
    fires:
      "The audit log's disk refused a record, a sink's spool is full or it has been refusing, standard output or the file of --record takes nothing, a callback of the program that rimon is part of throws, a pass over the node failed, somebody sent rimon the signal that opens Node's inspector, or what mode enforce is to refuse is only watched.",
    attacker: "Fills the disk or blocks the network before the act, so that nobody hears of it.",
    todo: "Free the disk or bring the sink back; what waits is written and sent then, in order. How much was lost, if anything, is in the message.",
    harmless: "A real outage.",
    attack: [{ id: "T1562.006", name: "Impair Defenses: Indicator Blocking" }],
  },
  detect(observation) {
    if (observation.kind !== "self.troubled") return;
    return {
      rule: this.rule,
      ...(observation.recovered ? { severity: "info" as const } : {}),
      technique: `${observation.part}-trouble`,
      operation: observation.recovered ? "recover" : "fail",
      // Whoever is in trouble tells it once: two troubles of one part are two findings.
      subject: observation.message,
      message: observation.message,
      evidence: [observation],
    };
  },
};

import type { Detector } from "./detector.ts";

export const sensorBlind: Detector = {
  rule: "sensor-blind",
  severity: "high",
  summary: "A sensor died, lost events or can no longer see everything.",
  guide: {
    means:
      "For a while rimon saw less than it promises. A full pass over the node follows at once; what was too short for that is lost.",
    fires:
      "The kernel reported a queue overflow (process connector, fanotify), rimon could not keep up, a sensor went down, or a procfs appeared that could not be watched.",
    attacker: "Floods the node with forks or opens to hide one act among them, or stops the monitor's sources.",
    todo: "See what made the load at that time. rimon doctor shows which sensor covers what. Raise the load's cause or the node's limits (fs.fanotify.max_queued_events).",
    harmless: "A real burst, such as a large build, on a busy node.",
    attack: [
      { id: "T1562.006", name: "Impair Defenses: Indicator Blocking" },
      { id: "T1562.001", name: "Impair Defenses: Disable or Modify Tools" },
    ],
  },
  detect(observation) {
    if (observation.kind === "sensor.lost") {
      const { sensor, count, reason } = observation;
      return {
        rule: this.rule,
        technique: "event-loss",
        operation: "lose",
        subject: sensor,
        message: `${sensor} lost ${count === undefined ? "an unknown number of" : count} events: ${reason}; a full scan follows`,
        evidence: [observation],
      };
    }
    if (observation.kind === "sensor.state" && (observation.state === "down" || observation.state === "degraded")) {
      const { sensor, state, reason } = observation;
      return {
        rule: this.rule,
        technique: "sensor-down",
        operation: "lose",
        subject: sensor,
        message: `${sensor} is ${state}: ${reason ?? "no reason was given"}`,
        evidence: [observation],
      };
    }
    if (observation.kind === "procfs.mounted" && !observation.marked) {
      const { path, reason } = observation;
      return {
        rule: this.rule,
        technique: "unwatched-procfs",
        operation: "lose",
        subject: path,
        message: `a procfs at ${path} cannot be watched: ${reason ?? "no reason was given"}; reads of memory through it are not seen`,
        evidence: [observation],
      };
    }
    return undefined;
  },
};

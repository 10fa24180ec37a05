// What a sensor is worth here, told from its state and from what the drill saw by it. Pure.

import type { SensorStatus } from "../rimon.ts";
import type { DrillOutcome, DrillResult } from "./drill.ts";
import type { Technique } from "./technique.ts";

/** A sensor is proven only once it has seen an attack on a decoy. */
export type SensorHealth = "proven" | "attached but not proven" | "unavailable" | "off";

export interface DiagnosedSensor {
  readonly name: string;
  readonly health: SensorHealth;
  /** Why it is unavailable, or sees less than it should. */
  readonly reason?: string;
  readonly sees: string;
  /** Capabilities it needs that rimon does not have. */
  readonly missing: readonly string[];
  /** The techniques it saw in the drill. */
  readonly provenBy: readonly string[];
  /** The techniques that nothing else sees. */
  readonly blindWithout: readonly string[];
}

export interface DiagnosedTechnique {
  readonly technique: string;
  readonly summary: string;
  /** What sees it here: proven by the drill, or without one, attached and expected to. */
  readonly rung: string | null;
  /** "unproven": there was no drill. */
  readonly outcome: DrillOutcome | "unproven";
  readonly latencyMs: number | null;
  readonly reason?: string;
  /** What would see it, if none of today's sensors can. */
  readonly needs?: "eBPF";
  /** Yama's ptrace_scope 3 would refuse it. */
  readonly yama?: true;
}

export function diagnoseSensors(
  sensors: readonly SensorStatus[],
  techniques: readonly Technique[],
  results: readonly DrillResult[],
  capabilities: readonly string[],
): readonly DiagnosedSensor[] {
  return sensors.map(({ name, state, reason, sees, needs }) => {
    const provenBy = results.filter(({ sensor }) => sensor === name).map(({ technique }) => technique);
    const attached = state === "live" || state === "degraded";
    const health = !attached
      ? state === "off"
        ? "off"
        : "unavailable"
      : provenBy.length > 0
        ? "proven"
        : "attached but not proven";
    // Attached without it, it does not need it here (the process connector since Linux 6.7); but without sys_ptrace
    // what is attached sees less.
    const missing = needs.filter((need) => !capabilities.includes(need) && (!attached || need === "sys_ptrace"));
    const limits = attached && missing.includes("sys_ptrace") ? "only for processes of its own user" : undefined;
    const why = reason ?? limits;
    return {
      name,
      health,
      ...(why === undefined ? {} : { reason: why }),
      sees,
      missing,
      provenBy,
      blindWithout: techniques
        .filter(({ expected }) => expected.length === 1 && expected[0] === name)
        .map((each) => each.name),
    };
  });
}

export function diagnoseTechniques(
  sensors: readonly SensorStatus[],
  techniques: readonly Technique[],
  results: readonly DrillResult[],
): readonly DiagnosedTechnique[] {
  return techniques.map(({ name, summary, expected, needs, yama }) => {
    const lacking = { ...(needs === undefined ? {} : { needs }), ...(yama === undefined ? {} : { yama }) };
    const result = results.find(({ technique }) => technique === name);
    if (result !== undefined) {
      const { outcome, sensor, latencyMs, reason } = result;
      return {
        technique: name,
        summary,
        rung: sensor,
        outcome,
        latencyMs,
        ...(reason === undefined ? {} : { reason }),
        ...lacking,
      };
    }
    const rung = expected.find((each) =>
      sensors.some((sensor) => sensor.name === each && (sensor.state === "live" || sensor.state === "degraded")),
    );
    const isOff = (name: string): boolean => sensors.some((sensor) => sensor.name === name && sensor.state === "off");
    const why = expected.every(isOff) ? "off until the configuration asks for it" : "cannot be attached";
    const reason = rung === undefined ? `${expected.join(" and ")} ${why}` : undefined;
    return {
      technique: name,
      summary,
      rung: rung ?? null,
      outcome: rung === undefined ? "blind" : "unproven",
      latencyMs: null,
      ...(reason === undefined ? {} : { reason }),
      ...lacking,
    };
  });
}

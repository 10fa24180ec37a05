// The only makers of observations. A sensor reports what it saw and, in a sensor.state, whether it can see at all; it
// concludes nothing. Passes are paced by the spine, so a sensor has no timer of its own.

import type { BaselineInUse } from "../baselines/in-use.ts";
import type { BaselineSettings, Exempt, NodeOperation } from "../configuration.ts";
import type { Addon, Procfs } from "../native.ts";
import type { Observation, Process, ProcessId, SensorState } from "../observation.ts";

export interface SensorContext {
  readonly addon: Addon;
  readonly procfs: Procfs;
  /** The sealed baseline of the configuration, as it is to be used now; never throws. */
  openBaseline(settings: BaselineSettings, predicateType: string): Promise<BaselineInUse>;
  /** The addons' files: code of ours in our own address space, wherever the package was installed. */
  readonly addonPaths: readonly string[];
  emit(observation: Observation): void;
  now(): number;
  /** Asks the spine for a full pass of every sensor as soon as possible. */
  requestSweep(): void;
  protectedProcesses(): readonly ProcessId[];
  isProtected(pid: number): boolean;
  /** The live process a pid of that pid namespace means, as our own pid namespace counts. */
  resolve(pidNamespace: number, pid: number): ProcessId | undefined;
  isLive(sensor: string): boolean;
  /** A process and its parents, nearest first, as far as they were read. */
  lineage(pid: number, startTime?: number): readonly Process[];
  /** What is to be refused to others on this process, as rules, where the mode is enforce. */
  refusals(pid: number): readonly string[];
  /** The rules that are refused on some process or other, whether it runs or not. */
  refusedRules(): readonly string[];
  /** What is to be refused to everybody on the node, where the mode is enforce. */
  nodeRefusals(): readonly NodeOperation[];
  /** The executables to which acts of this rule are not refused, whoever runs them. */
  exemptions(rule: string): readonly Exempt[];
  /**
   * A process by whose descendants a drill is meant: they are refused things also where they descend from rimon, and
   * nobody else is refused the memory of the machine.
   */
  readonly refusedFamily?: number;
  /** The cgroup whose tasks are refused writes of settings; undefined: all. */
  readonly guardedCgroup?: string;
}

export interface Sensor {
  readonly name: string;
  /** What it sees, for doctor; one line. */
  readonly sees: string;
  /** Capabilities it cannot do without. */
  readonly needs: readonly string[];
  start(): Promise<void>;
  /** One pass; `full` rereads what is normally taken as unchanged. */
  pass?(full: boolean): Promise<void>;
  /** Is told every observation, after the state absorbed it. */
  notice?(observation: Observation): void;
  /** Resolves when nothing it was told of is left to be looked at. */
  settled?(): Promise<void>;
  stop(): Promise<void>;
}

/** Emits the state of a sensor when it differs from the one reported last. */
export function createStateReporter(
  context: Pick<SensorContext, "emit" | "now">,
  sensor: string,
): (state: SensorState, reason?: string) => void {
  let last = "";
  return (state, reason) => {
    const told = `${state} ${reason ?? ""}`;
    if (told === last) return;
    last = told;
    context.emit({
      kind: "sensor.state",
      at: context.now(),
      sensor,
      state,
      ...(reason === undefined ? {} : { reason }),
    });
  };
}

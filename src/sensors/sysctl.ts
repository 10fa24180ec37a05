// Who writes a setting that decides about core dumps, before it is written: an eBPF program in front of all settings of
// the node, which is there only while such writes are to be refused. The marks of fanotify see the others.

import { reasonOf } from "../errors.ts";
import type { Watch, WatchSources } from "../native.ts";
import type { Observation } from "../observation.ts";
import type { NativeRecord } from "../record.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";
import { createSpared } from "./spared.ts";

export const SYSCTL = "sysctl";

/** Whoever this rule's exceptions name with exe and sha256 alone is not refused. */
const RULE = "core-dump";

export function createSysctl(context: SensorContext, sources: WatchSources, open: () => Watch): Sensor {
  const report = createStateReporter(context, SYSCTL);
  const spared = createSpared();
  let guarding = false;

  async function pass(): Promise<void> {
    if (sources.sysctl !== true) return report("off", "not asked for");
    if (!context.nodeRefusals().includes("core-pattern")) {
      if (guarding) open().leaveSettings();
      guarding = false;
      return report("off", "attached only where enforce has the operation core-pattern");
    }
    const watch = open();
    watch.guardSettings(
      await spared.files(context.exemptions(RULE)),
      context.refusedFamily !== undefined,
      ...(context.guardedCgroup === undefined ? [] : [context.guardedCgroup]),
    );
    guarding = true;
    const { live, reason } = watch.status().sysctl;
    if (live) report("live");
    else report("unavailable", reason);
  }

  return {
    name: SYSCTL,
    sees: "writes of kernel.core_pattern and fs.suid_dumpable before they are made, by any procfs, with what was to be written",
    needs: ["sys_admin"],
    start: pass,
    async pass() {
      try {
        await pass();
      } catch (thrown) {
        report("down", reasonOf(thrown));
      }
    },
    notice: spared.notice,
    async stop() {
      guarding = false;
    },
  };
}

export function fromSysctl(record: Extract<NativeRecord, { kind: "sysctl" }>, at: number): Observation {
  const { setting: name, pid, action, value, suppressed } = record;
  return { kind: "sysctl.written", at, sensor: SYSCTL, name, pid, action, value, suppressed };
}

// Node-wide settings that decide where dumps go and what every program loads, polled and read again on every write.

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { reasonOf } from "../errors.ts";
import type { SettingSeen } from "../observation.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

const SETTINGS: readonly { readonly setting: SettingSeen["setting"]; readonly path: string }[] = [
  { setting: "kernel.core_pattern", path: "/proc/sys/kernel/core_pattern" },
  { setting: "fs.suid_dumpable", path: "/proc/sys/fs/suid_dumpable" },
  { setting: "kernel.yama.ptrace_scope", path: "/proc/sys/kernel/yama/ptrace_scope" },
  { setting: "/etc/ld.so.preload", path: "/etc/ld.so.preload" },
];

/** Below /proc nothing waits for a disk, and each of the five turns of the event loop that it would take costs more. */
function read(path: string): string | Promise<string> {
  return path.startsWith("/proc/") ? readFileSync(path, "utf8") : readFile(path, "utf8");
}

export function createSettings(context: SensorContext): Sensor {
  const name = "settings";
  const report = createStateReporter(context, name);
  const known = new Map<string, string | undefined>();
  let reading = Promise.resolve();

  async function pass(): Promise<void> {
    const failures: string[] = [];
    for (const { setting, path } of SETTINGS) {
      let value: string | undefined;
      try {
        value = (await read(path)).trimEnd();
      } catch (thrown) {
        // Not there is a value of its own; not readable is not.
        if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") {
          failures.push(`${path}: ${reasonOf(thrown)}`);
          continue;
        }
      }
      if (known.has(setting) && known.get(setting) === value) continue;
      known.set(setting, value);
      context.emit({
        kind: "setting.seen",
        at: context.now(),
        sensor: name,
        setting,
        ...(value === undefined ? {} : { value }),
      });
    }
    if (failures.length === 0) report("live");
    else report("degraded", failures.join("; "));
  }

  return {
    name,
    sees: "core_pattern, suid_dumpable and /etc/ld.so.preload when they change",
    needs: [],
    start: pass,
    pass,
    notice(observation) {
      if (observation.kind === "sysctl.written") reading = reading.then(pass);
    },
    async stop() {
      await reading;
    },
  };
}

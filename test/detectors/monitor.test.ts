// The rules about rimon itself: procfs-mounted, sensor-blind, own-file-changed, monitor-troubled.

import { monitorTroubled } from "../../src/detectors/monitor-troubled.ts";
import { ownFileChanged } from "../../src/detectors/own-file-changed.ts";
import { procfsMounted } from "../../src/detectors/procfs-mounted.ts";
import { sensorBlind } from "../../src/detectors/sensor-blind.ts";
import type { Observation, ObservationOf } from "../../src/observation.ts";
import { aProcess, AT, seen, tick } from "./observations.ts";
import { check } from "./table.ts";

const mounted = (marked: boolean, reason?: string): Observation => ({
  kind: "procfs.mounted",
  at: AT,
  sensor: "fanotify",
  path: "/tmp/p",
  dev: 5,
  marked,
  ...(reason === undefined ? {} : { reason }),
});
const state = (state: ObservationOf<"sensor.state">["state"], reason?: string): Observation => ({
  kind: "sensor.state",
  at: AT,
  sensor: "fanotify",
  state,
  ...(reason === undefined ? {} : { reason }),
});
const lost = (count?: number): Observation => ({
  kind: "sensor.lost",
  at: AT,
  sensor: "fanotify",
  reason: "the queue overflowed",
  ...(count === undefined ? {} : { count }),
});

check(procfsMounted, [
  {
    when: "a procfs appears and is watched",
    observed: [mounted(true)],
    says: "low: a procfs was mounted at /tmp/p and is watched now",
    technique: "procfs-mount",
  },
  { when: "it could not be marked, which is sensor-blind's", observed: [mounted(false)], says: undefined },
  { when: "time goes by", observed: [tick(AT)], says: undefined },
]);

check(sensorBlind, [
  {
    when: "events were lost",
    observed: [lost(12)],
    says: "high: fanotify lost 12 events: the queue overflowed; a full scan follows",
    technique: "event-loss",
  },
  {
    when: "the kernel does not say how many",
    observed: [lost()],
    says: "high: fanotify lost an unknown number of events: the queue overflowed; a full scan follows",
  },
  {
    when: "a sensor went down",
    observed: [state("down", "EIO")],
    says: "high: fanotify is down: EIO",
    technique: "sensor-down",
  },
  {
    when: "a sensor sees less, and does not say why",
    observed: [state("degraded")],
    says: "high: fanotify is degraded: no reason was given",
  },
  ...(["live", "off", "unavailable"] as const).map((each) => ({
    when: `a sensor is ${each}`,
    observed: [state(each)],
    says: undefined,
  })),
  {
    when: "a procfs cannot be watched",
    observed: [mounted(false, "EPERM")],
    says: "high: a procfs at /tmp/p cannot be watched: EPERM; reads of memory through it are not seen",
    technique: "unwatched-procfs",
  },
  { when: "a procfs is watched", observed: [mounted(true)], says: undefined },
]);

const changed = (
  role: ObservationOf<"own-file.changed">["role"],
  change: ObservationOf<"own-file.changed">["change"],
  pid?: number,
): Observation => ({
  kind: "own-file.changed",
  at: AT,
  sensor: "own-files",
  path: "/var/lib/rimon/f",
  role,
  change,
  ...(pid === undefined ? {} : { pid }),
});

check(ownFileChanged, [
  {
    when: "the log was cut, nobody knows by whom",
    observed: [changed("audit", "truncated")],
    says: "critical: rimon's audit file /var/lib/rimon/f was cut",
    technique: "audit-file",
  },
  {
    when: "the key was replaced",
    observed: [changed("key", "replaced")],
    says: "critical: rimon's key file /var/lib/rimon/f was replaced",
    technique: "key-file",
  },
  {
    when: "the configuration was written by a known process",
    observed: [seen(aProcess(93, { comm: "vim", uid: 1000 })), changed("configuration", "written", 93)],
    says: "high: rimon's configuration file /var/lib/rimon/f was written by vim (93, uid 1000)",
    technique: "configuration-file",
    suspect: 93,
  },
  {
    when: "the program changed its mode",
    observed: [changed("program", "mode")],
    says: "high: rimon's program file /var/lib/rimon/f changed its mode or owner",
  },
  {
    when: "the program was removed by a process that is gone",
    observed: [changed("program", "removed", 93)],
    says: "high: rimon's program file /var/lib/rimon/f was removed by process 93 (gone before it could be read)",
    suspect: 93,
  },
  { when: "time goes by", observed: [tick(AT)], says: undefined },
]);

const trouble = (recovered: boolean): Observation => ({
  kind: "self.troubled",
  at: AT,
  sensor: "rimon",
  part: "audit",
  message: "the disk is full",
  recovered,
});

check(monitorTroubled, [
  { when: "trouble", observed: [trouble(false)], says: "high: the disk is full", technique: "audit-trouble" },
  { when: "its end", observed: [trouble(true)], says: "info: the disk is full" },
  { when: "time goes by", observed: [tick(AT)], says: undefined },
]);

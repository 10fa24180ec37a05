import type { Detection } from "../finding.ts";
import type { Mapping, ObservationOf, Process } from "../observation.ts";
import type { State } from "../state.ts";
import { isAllowed } from "./allowed.ts";
import { nameOf, subjectOf, type Detector, type RuleOptions } from "./detector.ts";

/** Places anybody can write to, or that vanish with a session. */
const UNUSUAL_PLACES = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/", "/run/shm/", "/home/", "/memfd:", "/dev/fd/"];

export const libraryPreloaded: Detector = {
  rule: "library-preloaded",
  severity: "high",
  summary: "A library was forced into a protected process, or one is mapped from a place anybody can write to.",
  guide: {
    means:
      "A library named by LD_PRELOAD, LD_AUDIT or /etc/ld.so.preload runs inside the process with all its keys in reach.",
    fires:
      "LD_PRELOAD or LD_AUDIT stood in the environment at exec (with the sensor exec read by the kernel before the first instruction, so that a library cannot erase it in time), the environment had more strings than can be looked through then (65,536), /etc/ld.so.preload names a library, or executable code of a protected process is mapped from /tmp, /dev/shm, /home, a memfd and the like.",
    attacker:
      "Puts a library in a writable folder and adds one line to a unit file, a profile or /etc/ld.so.preload; from the next start on it reads what the process reads.",
    todo: "Take the library as evidence, find what named it (unit files, /etc/environment, profiles), restart the process without it, rotate its keys.",
    harmless:
      "Allocators and shims (jemalloc, libfaketime): list them under rules.library-preloaded.allow, as paths or as folders ending in /.",
    attack: [{ id: "T1574.006", name: "Hijack Execution Flow: Dynamic Linker Hijacking" }],
  },
  detect(observation, state, options) {
    switch (observation.kind) {
      case "posture.seen":
        return named(observation, state, options);
      case "setting.seen":
        return nodeWide(observation, options);
      case "maps.seen":
        return mapped(observation, state, options);
    }
    return undefined;
  },
};

function named(observation: ObservationOf<"posture.seen">, state: State, options: RuleOptions): Detection | undefined {
  const { pid, startTime } = observation;
  const known = state.find(pid, startTime);
  // Of a reading without the environment nothing is told anew.
  if (observation.posture.loader === undefined || known?.protectedBy === undefined) return;
  const { loader = [], loaderCut = false } = known.posture?.current ?? {};
  const target = subjectOf(state, pid, startTime);
  for (const { name, paths } of loader) {
    const unexpected = paths.filter((path) => !isAllowed(path, options.allow));
    if (unexpected.length === 0) continue;
    return {
      rule: "library-preloaded",
      technique: name === "LD_AUDIT" ? "ld-audit" : "ld-preload",
      operation: "load",
      target,
      subject: `${name} ${unexpected.join(":")}`,
      message: `${nameOf(state, pid, startTime)} was started with ${name}=${unexpected.join(":")}${parentOf(state, pid)}`,
      evidence: [observation],
    };
  }
  if (!loaderCut) return undefined;
  return {
    rule: "library-preloaded",
    technique: "environment-cut",
    operation: "load",
    target,
    subject: "environment",
    message: `${nameOf(state, pid, startTime)} was started${parentOf(state, pid)} with an environment that could not be looked through to its end for LD_PRELOAD and LD_AUDIT`,
    evidence: [observation],
  };
}

function nodeWide(observation: ObservationOf<"setting.seen">, options: RuleOptions): Detection | undefined {
  if (observation.setting !== "/etc/ld.so.preload" || observation.value === undefined) return;
  const unexpected = observation.value
    .split("\n")
    .map((line) => line.replace(/#.*/, ""))
    .flatMap((line) => line.split(/[\s:]+/))
    .filter((path) => path !== "" && !isAllowed(path, options.allow));
  if (unexpected.length === 0) return;
  return {
    rule: "library-preloaded",
    technique: "ld-so-preload",
    operation: "load",
    subject: unexpected.join(":"),
    everyTenant: true,
    message: `/etc/ld.so.preload loads ${unexpected.join(", ")} into every program that starts`,
    evidence: [observation],
  };
}

function mapped(observation: ObservationOf<"maps.seen">, state: State, options: RuleOptions): Detection | undefined {
  const { pid, startTime } = observation;
  const known = state.find(pid, startTime);
  if (known?.protectedBy === undefined) return;
  const odd = observation.mappings.filter(
    (mapping) => isUnusual(mapping, known.process) && !isAllowed(mapping.path, options.allow),
  );
  const [first] = odd;
  if (first === undefined) return;
  const paths = [...new Set(odd.map(({ path }) => path))];
  return {
    rule: "library-preloaded",
    technique: "unusual-library",
    operation: "map",
    target: subjectOf(state, pid, startTime),
    subject: paths.join(" "),
    message: `${nameOf(state, pid, startTime)} runs code from ${paths.join(", ")}${
      known.posture?.current.libraryPath === true ? "; it was started with LD_LIBRARY_PATH" : ""
    }`,
    evidence: [{ ...observation, mappings: odd }],
  };
}

function isUnusual({ path, file }: Mapping, process: Process): boolean {
  if (!UNUSUAL_PLACES.some((place) => path.startsWith(place))) return false;
  // The program itself may live anywhere: it was chosen to be protected.
  const own = process.exeFile;
  return own === undefined || own.inode !== file.inode || own.dev !== file.dev;
}

function parentOf(state: State, pid: number): string {
  const parent = state.find(pid)?.process.parentPid;
  return parent === undefined || parent === 0 ? "" : ` by ${nameOf(state, parent)}`;
}

import type { Severity } from "../finding.ts";
import type { Mapping } from "../observation.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";
import { compilesAtRunTime, isSystemLibrary } from "./late-code.ts";

export const mapsChanged: Detector = {
  rule: "maps-changed",
  severity: "medium",
  summary: "Code appeared in a protected process after it had started, or it has code that can be written to.",
  guide: {
    means:
      "An executable mapping that was not there before: new anonymous code, a page made executable, a page both writable and executable, or a file that was replaced on disk.",
    fires:
      "A pass over the maps of a protected process found it, some seconds after the process had started; what is writable and executable at once, also when it was there before rimon. Heap, stacks and data never count; runtimes that compile as they run (node, java, ...) may make anonymous code. A library from a system folder is low.",
    attacker: "Injects code with ptrace or /proc/PID/mem, or calls dlopen in the process.",
    todo: "Compare the mapping's file with its package. Anonymous code in a process that compiles nothing is an injection: capture, rotate, restart.",
    harmless:
      "Late plugins (dlopen) and package upgrades. Programs with a JIT rimon does not know: list the executable under rules.maps-changed.allow.",
    attack: [{ id: "T1055", name: "Process Injection" }],
  },
  detect(observation, state, options) {
    if (observation.kind !== "maps.seen") return;
    const { pid, startTime } = observation;
    const known = state.find(pid, startTime);
    if (known?.protectedBy === undefined || known.maps === undefined) return;
    const compiles = compilesAtRunTime(known.process, options.allow);
    const added = known.maps.added.filter((mapping) => !isOwnProbe(mapping) && !(compiles && mapping.path === ""));
    const [first] = added;
    if (first === undefined) return;
    const harmless = added.every(({ path, permissions }) => !permissions.includes("w") && isSystemLibrary(path));
    const severity: Severity = harmless ? "low" : this.severity;
    return {
      rule: this.rule,
      severity,
      technique: first.permissions.includes("w")
        ? "writable-code"
        : first.path === ""
          ? "anonymous-code"
          : "late-library",
      operation: "map",
      target: subjectOf(state, pid, startTime),
      subject: [
        ...new Set(added.map(({ path, permissions, start }) => (path === "" ? `${permissions} at ${start}` : path))),
      ].join(" "),
      message: `${nameOf(state, pid, startTime)} has ${known.maps.first ? "" : "new "}code: ${added.slice(0, 3).map(describe).join("; ")}${added.length > 3 ? `; and ${added.length - 3} more` : ""}`,
      evidence: [{ ...observation, mappings: added }],
    };
  },
};

function describe({ path, permissions, start, end }: Mapping): string {
  const place = path === "" ? `anonymous memory ${start}-${end}` : path;
  if (permissions.includes("w")) return `${place} is writable and executable (${permissions})`;
  if (path.endsWith(" (deleted)")) return `${place}: its file was replaced or removed`;
  return `${place} (${permissions})`;
}

/** The kernel's own page for user-space probes. */
function isOwnProbe({ path }: Mapping): boolean {
  return path === "[uprobes]" || path === "[uprobes-trampoline]" || path === "[vdso]" || path === "[vsyscall]";
}

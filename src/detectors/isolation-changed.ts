import { MAX_CHANGES_TOLD, type IsolationChanged } from "../isolation-changed.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";
import { compilesAtRunTime, isSystemLibrary } from "./late-code.ts";

/** Other rules tell of new code in their own words, and it has its ordinary reasons. */
const MILD: ReadonlySet<string> = new Set(["memory-maps"]);

export const isolationChanged: Detector = {
  rule: "isolation-changed",
  severity: "high",
  summary: "What isolates a protected process, or the kernel, is not what it was when it was first seen.",
  guide: {
    means:
      "A seccomp filter, a capability, a namespace, a cgroup or its limits, a resource limit, a mapping, a kernel module or setting differs from the snapshot that was taken when rimon first saw the process, or the node. Some changes cannot be made by the kernel's own rules (a filter taken off, a capability back in the bounding set): then its memory was changed, by a fault or by somebody who writes to it. Of code it says where it differs: in the memory of the process, in the page cache or on the disk.",
    fires:
      "With `snapshots` in the configuration: a comparison found other facts in three readings in a row. What grows and shrinks by itself is not compared, nor is a library told that is unloaded, or is back as it was. A library of a system folder that is loaded late is low, as is the first code that a runtime compiles (node, java, ...; `rules.isolation-changed.allow` names others). Code is compared once an hour, read from memory, page cache and disk, up to three times. Techniques of code: one-bit-fault-in-memory (a copy of a page differs by one bit; an attacker can flip one as well), patched-in-memory, corrupt-page-cache (the disk has what was there before, the page cache has not), file-changed-on-disk (high). A change is told once; then it is what is compared with.",
    attacker:
      "Code in the kernel, or a bug in it, lifts the sandbox of a process it runs in: clears Seccomp or NoNewPrivs, fills the capability sets, moves it to the namespaces of the host. Or root loads a module, lowers ptrace_scope, points core_pattern elsewhere.",
    todo: "Where the finding says that it cannot be: treat the kernel as changed. Move the keys off the node and look at its memory (ECC log, rasdaemon) before it is trusted again. One bit, or a corrupt page cache: the same, and restart the process; the page cache is read anew after `echo 1 > /proc/sys/vm/drop_caches`. Else find out who made the change and whether they meant to.",
    harmless:
      "An operator who changes limits, modules or settings, a program that maps a library late or gives up rights late. Switch single subsystems off under `snapshots.subsystems`.",
    attack: [
      { id: "T1562.001", name: "Impair Defenses: Disable or Modify Tools" },
      { id: "T1611", name: "Escape to Host" },
      { id: "T1547.006", name: "Boot or Logon Autostart Execution: Kernel Modules and Extensions" },
    ],
  },
  detect(observation, state, options) {
    if (observation.kind !== "isolation.changed") return;
    const { subsystem, change, pid, startTime, changes, message } = observation;
    const impossible = changes.some((each) => each.impossible !== undefined);
    const verdict = changes.find((each) => each.verdict !== undefined)?.verdict;
    const grave = impossible || (verdict !== undefined && verdict !== "file changed on disk");
    const known = pid === undefined ? undefined : state.find(pid, startTime);
    const compiles = known !== undefined && compilesAtRunTime(known.process, options.allow);
    const mild = MILD.has(subsystem) ? (isOrdinary(observation, compiles) ? "low" : "medium") : this.severity;
    const severity = grave ? "critical" : mild;
    const who = pid === undefined ? "the kernel" : nameOf(state, pid, startTime);
    return {
      rule: this.rule,
      severity,
      technique: impossible ? "impossible" : (verdict?.replaceAll(" ", "-") ?? change),
      operation: "change",
      ...(pid === undefined ? { everyTenant: true } : { target: subjectOf(state, pid, startTime) }),
      subject: `${subsystem} ${changes.map(({ fact, actual }) => `${fact}=${actual ?? ""}`).join(" ")}`,
      message: `${who}: ${message}`,
      evidence: [observation],
    };
  },
};

/** Libraries of the system that were loaded after the start, code of a program that compiles, and nothing else. */
function isOrdinary({ changes, change }: IsolationChanged, compiles: boolean): boolean {
  // Of more, some are not seen here.
  if (change !== "changed" || changes.length === 0 || changes.length >= MAX_CHANGES_TOLD) return false;
  return changes.every(({ fact, expected, actual = "" }) => {
    if (!fact.startsWith("file ")) return compiles && actual === "there is some";
    const [, permissions = "", path = ""] = /^(\S{4}) [0-9a-f]+ bytes of (.*)$/s.exec(actual) ?? [];
    return expected === undefined && !permissions.includes("w") && isSystemLibrary(path);
  });
}

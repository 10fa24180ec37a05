import { isolationChanged } from "../../src/detectors/isolation-changed.ts";
import type { ObservationOf } from "../../src/observation.ts";
import { AT, aProcess, seen, tick } from "./observations.ts";
import { check } from "./table.ts";

const VAULT = seen(aProcess(41));

function changed(rest: Partial<ObservationOf<"isolation.changed">> = {}): ObservationOf<"isolation.changed"> {
  const { pid, startTime } = VAULT.process;
  return {
    kind: "isolation.changed",
    at: AT,
    sensor: "snapshots",
    subsystem: "cgroups",
    change: "changed",
    pid,
    startTime,
    message: "cgroups: memory.max was 1, is max",
    changes: [{ fact: "memory.max", expected: "1", actual: "max" }],
    evidence: [{ text: "cgroup-limits", expected: "aa", actual: "bb" }],
    ...rest,
  };
}

const { pid: target } = VAULT.process;

check(isolationChanged, [
  {
    when: "a limit of a cgroup is lifted",
    observed: [VAULT, changed()],
    says: `high: vault (${target}, root): cgroups: memory.max was 1, is max`,
    technique: "changed",
    target,
  },
  {
    when: "something is not what the kernel can make of it",
    observed: [
      VAULT,
      changed({
        subsystem: "seccomp",
        message: "seccomp: Seccomp was 2, is 0, which cannot be: x",
        changes: [{ fact: "Seccomp", expected: "2", actual: "0", impossible: "x" }],
      }),
    ],
    says: `critical: vault (${target}, root): seccomp: Seccomp was 2, is 0, which cannot be: x`,
    technique: "impossible",
    target,
  },
  {
    when: "new code, of which other rules tell",
    observed: [VAULT, changed({ subsystem: "memory-maps", message: "memory-maps: x" })],
    says: `medium: vault (${target}, root): memory-maps: x`,
    target,
  },
  {
    when: "a bit of code is another in memory, and the disk has it right",
    observed: [
      VAULT,
      changed({
        subsystem: "code",
        message: "code: x",
        changes: [{ fact: "/a at 0", expected: "1", actual: "2", verdict: "one-bit fault in memory" }],
      }),
    ],
    says: `critical: vault (${target}, root): code: x`,
    technique: "one-bit-fault-in-memory",
    target,
  },
  {
    when: "the file of code was overwritten",
    observed: [
      VAULT,
      changed({
        subsystem: "code",
        message: "code: x",
        changes: [{ fact: "/a at 0", expected: "1", actual: "2", verdict: "file changed on disk" }],
      }),
    ],
    says: `high: vault (${target}, root): code: x`,
    technique: "file-changed-on-disk",
    target,
  },
  {
    when: "a text makes no sense",
    observed: [
      VAULT,
      changed({ change: "malformed", changes: [], message: "seccomp: status: a NUL stands at byte 7" }),
    ],
    says: `high: vault (${target}, root): seccomp: status: a NUL stands at byte 7`,
    technique: "malformed",
    target,
  },
  {
    when: "a module was loaded",
    observed: [
      (() => {
        const { pid: _, startTime: __, ...rest } = changed({ subsystem: "modules", message: "modules: x is new" });
        return rest;
      })(),
    ],
    says: "high: the kernel: modules: x is new",
    everyTenant: true,
  },
  { when: "time passes", observed: [VAULT, tick(AT)], says: undefined },
]);

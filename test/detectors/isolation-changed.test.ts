import type { Change } from "../../src/isolation-changed.ts";
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

const lib = (permissions: string, path: string): Change => ({
  fact: "file fd:00 7 at 0",
  actual: `${permissions} 1000 bytes of ${path}`,
});
const COMPILED: Change = { fact: "executable memory of no file", expected: "none", actual: "there is some" };

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
  ...[
    ["a library of the system, loaded late", [lib("r-xp", "/usr/lib/libz.so.1")], "/opt/vault", "low"],
    [
      "one of the system and one that is not",
      [lib("r-xp", "/usr/lib/libz.so.1"), lib("r-xp", "/tmp/z.so")],
      "/opt/vault",
      "medium",
    ],
    [
      "one of the system whose file was replaced",
      [lib("r-xp", "/usr/lib/libz.so.1 (deleted)")],
      "/opt/vault",
      "medium",
    ],
    ["code that can be written to", [lib("rwxp", "/usr/lib/libz.so.1")], "/opt/vault", "medium"],
    [
      "another mapping than there was",
      [{ ...lib("r-xp", "/usr/lib/libz.so.1"), expected: "r--p 1000 bytes of /usr/lib/libz.so.1" }],
      "/opt/vault",
      "medium",
    ],
    [
      "a mapping that is gone",
      [{ fact: "file fd:00 7 at 0", expected: "r-xp 1000 bytes of /usr/lib/libz.so.1" }],
      "/opt/vault",
      "medium",
    ],
    [
      "so many that not each is told",
      Array.from({ length: 16 }, () => lib("r-xp", "/usr/lib/libz.so.1")),
      "/opt/vault",
      "medium",
    ],
    ["the first code of a program that compiles none", [COMPILED], "/opt/vault", "medium"],
    ["the first code that a runtime compiles", [COMPILED], "/usr/lib/jvm/bin/java", "low"],
    [
      "the same, with a library from elsewhere",
      [COMPILED, lib("r-xp", "/tmp/z.so")],
      "/usr/lib/jvm/bin/java",
      "medium",
    ],
  ].map(([when, changes, exe, severity]) => ({
    when: String(when),
    observed: [
      seen({ ...VAULT.process, exe: String(exe) }),
      changed({ subsystem: "memory-maps", message: "memory-maps: x", changes: changes as Change[] }),
    ],
    says: `${String(severity)}: vault (${target}, root): memory-maps: x`,
    target,
  })),
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

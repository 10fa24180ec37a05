import { execDenied } from "../../src/detectors/exec-denied.ts";
import type { ObservationOf } from "../../src/observation.ts";
import { AT, aProcess, seen, tick } from "./observations.ts";
import { check } from "./table.ts";

const SHELL = seen(aProcess(41, { comm: "sh" }));
const DIGEST = "ab".repeat(32);

function judged(rest: Partial<ObservationOf<"exec.judged">> = {}): ObservationOf<"exec.judged"> {
  const { pid, startTime } = SHELL.process;
  return {
    kind: "exec.judged",
    at: AT,
    sensor: "exec-gate",
    pid,
    startTime,
    uid: 0,
    mode: "enforce",
    reason: "rule",
    denied: true,
    opened: false,
    path: "/tmp/evil",
    by: "/usr/bin/dash",
    sha256: DIGEST,
    file: { dev: 1, inode: 2, size: 3, owner: 0 },
    ...rest,
  };
}

const gap = (orderly: boolean, mode: "audit" | "enforce"): ObservationOf<"gate.gap"> => ({
  kind: "gate.gap",
  at: AT,
  sensor: "exec-gate",
  since: AT - 90_000,
  mode,
  orderly,
});

check(execDenied, [
  {
    when: "what nothing allows was refused",
    observed: [SHELL, judged()],
    says: `high: sh (41, root) was refused /tmp/evil: nothing allows it, sha256 ${DIGEST}`,
    technique: "exec",
    suspect: 41,
  },
  {
    when: "a rule denies what ran all the same",
    observed: [SHELL, judged({ mode: "audit", denied: false, rule: "writable" })],
    says: `medium: sh (41, root) ran /tmp/evil: rule writable, sha256 ${DIGEST}`,
    suspect: 41,
  },
  {
    when: "it is only learned",
    observed: [SHELL, judged({ mode: "learn", denied: false })],
    says: `info: sh (41, root) ran /tmp/evil: nothing allows it, sha256 ${DIGEST}`,
    suspect: 41,
  },
  {
    when: "a library was opened",
    observed: [SHELL, judged({ mode: "audit", denied: false, opened: true })],
    says: `medium: sh (41, root) opened /tmp/evil: nothing allows it, sha256 ${DIGEST}`,
    technique: "open",
    suspect: 41,
  },
  {
    when: "it was being written to",
    observed: [SHELL, judged({ reason: "written-to" })],
    says: `high: sh (41, root) was refused /tmp/evil: it was open for writing, so that something else could have run than was checked, sha256 ${DIGEST}`,
    technique: "written-to",
    suspect: 41,
  },
  {
    when: "it ran from a file system that nobody checks",
    observed: [
      SHELL,
      (({ sha256: _digest, ...rest }) => rest)(judged({ reason: "unmarked", denied: false, path: "/mnt/x" })),
    ],
    says: "high: sh (41, root) ran /mnt/x: its file system is not checked, or was not yet",
    technique: "unmarked",
    suspect: 41,
  },
  {
    when: "it was not read in time, by somebody of another pid namespace",
    observed: [
      (({ pid: _pid, startTime: _start, sha256: _digest, ...rest }) => rest)(
        judged({ reason: "deadline", denied: false, error: "ETIMEDOUT" }),
      ),
    ],
    says: "medium: /usr/bin/dash (?, uid 0) ran /tmp/evil: it could not be read in time",
    technique: "deadline",
  },
  {
    when: "who was refused has ended",
    observed: [judged({ rule: "denied" })],
    says: `high: /usr/bin/dash (41, uid 0) was refused /tmp/evil: rule denied, sha256 ${DIGEST}`,
    suspect: 41,
  },
  {
    when: "rimon was killed",
    observed: [gap(false, "enforce")],
    says: "high: for 90 s nothing was checked before it ran: rimon ended without stopping and what runs then is let through",
    technique: "gap",
  },
  {
    when: "rimon was stopped",
    observed: [gap(true, "enforce")],
    says: "low: for 90 s nothing was checked before it ran: rimon was stopped and what runs then is let through",
    technique: "gap",
  },
  { when: "something else is observed", observed: [SHELL, tick(AT)], says: undefined },
]);

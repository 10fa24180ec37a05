import { filelessExec } from "../../src/detectors/fileless-exec.ts";
import type { ObservationOf } from "../../src/observation.ts";
import { AT, aProcess, executable, seen } from "./observations.ts";
import { check } from "./table.ts";

function executed(pid: number, name: string): ObservationOf<"unlinked.executed"> {
  return { kind: "unlinked.executed", at: AT, sensor: "exec", pid, startTime: pid * 10, name };
}

const BASH = seen(aProcess(60, { comm: "bash", ...executable("/usr/bin/bash", 60) }));
const RUNC = seen(aProcess(70, { comm: "runc", ...executable("/usr/bin/runc", 70) }));
const IMPLANT = seen(aProcess(93, { comm: "kworker/0:1", parentPid: 60 }));

check(filelessExec, [
  {
    when: "a program runs from a memfd",
    observed: [BASH, IMPLANT, executed(93, "memfd:x")],
    says: "high: kworker/0:1 (93, root) runs a program from memory, memfd:x",
    technique: "memfd-exec",
    suspect: 93,
  },
  {
    when: "a program runs from a file that was unlinked first",
    observed: [BASH, IMPLANT, executed(93, "dump")],
    says: "high: kworker/0:1 (93, root) runs dump, a file that was already unlinked",
    technique: "deleted-exec",
    suspect: 93,
  },
  {
    when: "it is gone and nobody knows what it was",
    observed: [executed(93, "memfd:x")],
    says: "high: process 93 (gone before it could be read) runs a program from memory, memfd:x",
    suspect: 93,
  },
  {
    when: "runc runs from its sealed copy",
    observed: [
      RUNC,
      seen(aProcess(71, { comm: "runc", parentPid: 70 })),
      executed(71, "memfd:runc_cloned:/proc/self/exe"),
    ],
    says: undefined,
  },
  {
    when: "somebody gives a memfd the name of runc's copy",
    observed: [BASH, IMPLANT, executed(93, "memfd:runc_cloned:/proc/self/exe")],
    says: "high: kworker/0:1 (93, root) runs a program from memory, memfd:runc_cloned:/proc/self/exe",
    suspect: 93,
  },
  { when: "a program with a name is started", observed: [BASH, IMPLANT], says: undefined },
]);

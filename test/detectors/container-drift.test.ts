import { containerDrift } from "../../src/detectors/container-drift.ts";
import { fileTouched } from "../../src/detectors/file-touched.ts";
import type { FileTouched } from "../../src/file-touched.ts";
import { AT, aProcess, seen } from "./observations.ts";
import { check } from "./table.ts";

const SHELL = seen(aProcess(41, { comm: "sh", uid: 0 }));
const { pid, startTime } = SHELL.process;
const container = "3f2a".repeat(16);

function touch(rest: Partial<FileTouched> = {}): FileTouched {
  return {
    kind: "file.touched",
    at: AT,
    sensor: "file-events",
    change: "created",
    path: "/etc/passwd",
    folder: false,
    container,
    pid,
    startTime,
    count: 1,
    ...rest,
  };
}

const { pid: _pid, startTime: _startTime, ...nobody } = touch({ change: "removed", unnamed: "nobody looked" });
const { container: _container, ...ofTheNode } = touch();
const WHERE = "in container 3f2a3f2a3f2a, whose root is no longer its image";

check(containerDrift, [
  {
    when: "a file of the image is written to",
    observed: [SHELL, touch()],
    says: `high: sh (${pid}, root) made or wrote over /etc/passwd ${WHERE}`,
    technique: "file-created",
    suspect: pid,
  },
  {
    when: "its attributes are changed",
    observed: [SHELL, touch({ change: "attributes" })],
    says: `medium: sh (${pid}, root) changed the attributes of /etc/passwd ${WHERE}`,
    technique: "file-attributes",
    suspect: pid,
  },
  {
    when: "nobody saw who removed it",
    observed: [nobody],
    says: `high: somebody (nobody looked) removed /etc/passwd ${WHERE}`,
    technique: "file-removed",
  },
  { when: "it is a file of the node", observed: [SHELL, ofTheNode], says: undefined },
]);

check(fileTouched, [{ when: "it is a file of a container", observed: [SHELL, touch()], says: undefined }]);

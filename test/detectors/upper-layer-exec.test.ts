import { upperLayerExec } from "../../src/detectors/upper-layer-exec.ts";
import type { ObservationOf, Process } from "../../src/observation.ts";
import { AT, aProcess, executable, seen } from "./observations.ts";
import { check } from "./table.ts";

const CONTAINER = `/system.slice/docker-${"a".repeat(64)}.scope`;
const OTHER = `/system.slice/docker-${"b".repeat(64)}.scope`;

function executed(pid: number): ObservationOf<"upper.executed"> {
  return { kind: "upper.executed", at: AT, sensor: "exec", pid, startTime: pid * 10, name: "dump" };
}

const dump = (fields: Partial<Process> = {}) =>
  seen(aProcess(93, { comm: "dump", parentPid: 60, ...executable("/tmp/dump", 93), ...fields }));

const INIT = seen(aProcess(1, { comm: "systemd", parentPid: 0, mountNamespace: 1 }));
const VAULT = seen(aProcess(41, { ...executable("/usr/bin/vault", 41), cgroup: CONTAINER, mountNamespace: 7 }));
const HOSTED = seen(aProcess(41, { ...executable("/usr/bin/vault", 41), cgroup: "/system.slice/vault.service", mountNamespace: 1 })); // prettier-ignore
const SHELL = seen(aProcess(60, { comm: "sh", ...executable("/bin/sh", 60), mountNamespace: 7 }));
const DPKG = seen(aProcess(60, { comm: "dpkg", ...executable("/usr/bin/dpkg", 60), mountNamespace: 7 }));
const BESIDE =
  "dump (93, root) runs /tmp/dump, which was added or changed since the container of vault (41, root) was made";

check(upperLayerExec, [
  {
    when: "a protected program is not what the image brought",
    observed: [INIT, VAULT, executed(41)],
    says: "medium: vault (41, root) runs /usr/bin/vault, which was added or changed since its container was made",
    technique: "upper-layer-exec",
    target: 41,
  },
  {
    when: "something that was added runs in the container of a protected process, by its cgroup",
    observed: [INIT, VAULT, SHELL, dump({ cgroup: CONTAINER, mountNamespace: 8 }), executed(93)],
    says: `medium: ${BESIDE}`,
    suspect: 93,
    target: 41,
  },
  {
    when: "the same by its mounts",
    observed: [INIT, VAULT, SHELL, dump({ mountNamespace: 7 }), executed(93)],
    says: `medium: ${BESIDE}`,
    suspect: 93,
    target: 41,
  },
  {
    when: "a package manager starts it",
    observed: [INIT, VAULT, DPKG, dump({ mountNamespace: 7 }), executed(93)],
    says: `low: ${BESIDE}`,
    suspect: 93,
    target: 41,
  },
  {
    when: "it is called after a package manager itself",
    observed: [
      INIT,
      VAULT,
      SHELL,
      dump({ comm: "dpkg", ...executable("/usr/bin/dpkg", 93), mountNamespace: 7 }),
      executed(93),
    ],
    says: "medium: dpkg (93, root) runs /usr/bin/dpkg, which was added or changed since the container of vault (41, root) was made",
    suspect: 93,
    target: 41,
  },
  {
    when: "it was removed again",
    observed: [INIT, VAULT, dump({ ...executable("/tmp/dump (deleted)", 93), mountNamespace: 7 }), executed(93)],
    says: `medium: ${BESIDE}`,
    suspect: 93,
    target: 41,
  },
  {
    when: "it is listed",
    observed: [INIT, VAULT, dump({ mountNamespace: 7 }), executed(93)],
    allow: ["/tmp/dump"],
    says: undefined,
  },
  {
    when: "its folder is listed",
    observed: [INIT, VAULT, dump({ mountNamespace: 7 }), executed(93)],
    allow: ["/tmp/"],
    says: undefined,
  },
  {
    when: "another container",
    observed: [INIT, VAULT, dump({ cgroup: OTHER, mountNamespace: 8 }), executed(93)],
    says: undefined,
  },
  {
    when: "the protected process is in no container, and the node's root is an overlay",
    observed: [INIT, HOSTED, dump({ cgroup: "/user.slice", mountNamespace: 1 }), executed(93)],
    says: undefined,
  },
  { when: "nobody knows where it is", observed: [INIT, VAULT, dump(), executed(93)], says: undefined },
  { when: "it is gone and nobody knows what it was", observed: [INIT, VAULT, executed(93)], says: undefined },
  { when: "a program is started", observed: [INIT, VAULT, SHELL, dump({ mountNamespace: 7 })], says: undefined },
]);

import { fileTouched } from "../../src/detectors/file-touched.ts";
import { packagesChanged } from "../../src/detectors/packages-changed.ts";
import type { FileTouched, PackagesChanged } from "../../src/file-touched.ts";
import { AT, aProcess, seen } from "./observations.ts";
import { check } from "./table.ts";

const SHELL = seen(aProcess(41, { comm: "sh", uid: 0 }));
const { pid, startTime } = SHELL.process;

function touch(rest: Partial<FileTouched> = {}): FileTouched {
  return {
    kind: "file.touched",
    at: AT,
    sensor: "file-events",
    change: "written",
    path: "/usr/bin/ls",
    folder: false,
    pid,
    startTime,
    count: 1,
    ...rest,
  };
}

const { pid: _pid, startTime: _startTime, ...nobody } = touch({ unnamed: "inotify does not say who" });

check(fileTouched, [
  {
    when: "a program is written to",
    observed: [SHELL, touch()],
    says: `high: sh (${pid}, root) wrote to /usr/bin/ls`,
    technique: "file-written",
    suspect: pid,
  },
  {
    when: "a folder is moved out",
    observed: [SHELL, touch({ change: "moved", from: "/usr/lib/x", path: "/tmp/x", folder: true, crossed: "out" })],
    says: `high: sh (${pid}, root) moved /usr/lib/x to the folder /tmp/x, out of what is watched`,
    technique: "file-moved",
    suspect: pid,
  },
  {
    when: "a mode is changed",
    observed: [SHELL, touch({ change: "attributes" })],
    says: `medium: sh (${pid}, root) changed the attributes of /usr/bin/ls`,
    technique: "file-attributes",
    suspect: pid,
  },
  {
    when: "it was changed back before it was compared",
    observed: [SHELL, touch({ asBefore: true })],
    says: `medium: sh (${pid}, root) wrote to /usr/bin/ls; it is as the baseline says: nothing that counts was changed, or it was changed back`,
    technique: "file-written",
    suspect: pid,
  },
  {
    when: "nobody is named",
    observed: [nobody],
    says: "high: somebody (inotify does not say who) wrote to /usr/bin/ls",
    technique: "file-written",
  },
  {
    when: "it was a storm",
    observed: [SHELL, touch({ path: "/usr/lib", folder: true, count: 9, files: { count: 900, names: ["a", "b"] } })],
    says: `high: sh (${pid}, root) changed 900 files in /usr/lib: a, b, ...`,
    technique: "file-written",
    suspect: pid,
  },
  { when: "something else is told", observed: [SHELL], says: undefined },
]);

const APT = seen(aProcess(51, { comm: "apt", uid: 0 }));

function upgrade(rest: Partial<PackagesChanged> = {}): PackagesChanged {
  return {
    kind: "packages.changed",
    at: AT,
    sensor: "file-events",
    database: "dpkg",
    pid: APT.process.pid,
    startTime: APT.process.startTime,
    manager: "/usr/bin/apt",
    files: 40,
    verified: 30,
    owned: 10,
    packages: ["bash", "libc6"],
    differing: [],
    differingCount: 0,
    strange: [],
    strangeCount: 0,
    ...rest,
  };
}

const { database: _database, ...unread } = upgrade({
  verified: 0,
  owned: 0,
  strange: ["/usr/bin/a"],
  strangeCount: 40,
});
const apt = `apt (${APT.process.pid}, root)`;

check(packagesChanged, [
  {
    when: "all is as the packages say",
    observed: [APT, upgrade()],
    says: `info: ${apt} changed 40 files: 30 are as bash, libc6 say, 10 are folders and links of packages`,
    technique: "package-manager",
    suspect: APT.process.pid,
  },
  {
    when: "a file is not what its package says",
    observed: [APT, upgrade({ verified: 29, differing: ["/bin/bash"], differingCount: 1 })],
    says: `high: ${apt} changed 40 files: 29 are as bash, libc6 say, 10 are folders and links of packages; 1 differ: /bin/bash`,
    technique: "package-file-differs",
    suspect: APT.process.pid,
  },
  {
    when: "a file is of no package",
    observed: [APT, upgrade({ strange: ["/etc/cron.d/x"], strangeCount: 1 })],
    says: `medium: ${apt} changed 40 files: 30 are as bash, libc6 say, 10 are folders and links of packages; 1 are of no package: /etc/cron.d/x`,
    technique: "package-manager",
    suspect: APT.process.pid,
  },
  {
    when: "the packages cannot be asked",
    observed: [APT, unread],
    says: `medium: ${apt} changed 40 files: what its packages say of them cannot be read`,
    technique: "package-manager",
    suspect: APT.process.pid,
  },
  { when: "something else is told", observed: [APT], says: undefined },
]);

import { fileChanged } from "../../src/detectors/file-changed.ts";
import type { ObservationOf } from "../../src/observation.ts";
import { AT, aProcess, seen, tick } from "./observations.ts";
import { check } from "./table.ts";

const SHELL = seen(aProcess(41));

type FileChanged = ObservationOf<"file.changed">;

function changed(rest: Partial<FileChanged> = {}): FileChanged {
  return {
    kind: "file.changed",
    at: AT,
    sensor: "files",
    change: "changed",
    path: "/usr/bin/ls",
    fileType: "file",
    mode: "0755",
    group: "immutable",
    rule: "/usr",
    attributes: [{ attribute: "mode", before: "0755", after: "0777" }],
    ...rest,
  };
}

const SHA = { attribute: "content", before: "a".repeat(64), after: "b".repeat(64) };
const CONTENT = `content was ${"a".repeat(64)}, is ${"b".repeat(64)}`;

check(fileChanged, [
  {
    when: "the mode of a program is another",
    observed: [changed()],
    says: "high: /usr/bin/ls changed: mode was 0755, is 0777",
    technique: "changed",
  },
  {
    when: "it was seen who did it",
    observed: [SHELL, changed({ actor: { pid: SHELL.process.pid, startTime: SHELL.process.startTime } })],
    says: `high: /usr/bin/ls changed: mode was 0755, is 0777, by vault (${SHELL.process.pid}, root)`,
    suspect: SHELL.process.pid,
  },
  {
    when: "a program becomes set-user-ID",
    observed: [changed({ mode: "4755", attributes: [{ attribute: "mode", before: "0755", after: "4755" }] })],
    says: "critical: /usr/bin/ls changed: mode was 0755, is 4755",
  },
  {
    when: "one that was set-user-ID before has another content",
    observed: [changed({ mode: "4755", attributes: [SHA] })],
    says: `critical: /usr/bin/ls changed: ${CONTENT}`,
  },
  {
    when: "it is given a capability, in a configuration folder as well",
    observed: [changed({ group: "config", attributes: [{ attribute: "capabilities", after: "sys_admin=ep" }] })],
    says: "critical: /usr/bin/ls changed: capabilities is sys_admin=ep",
  },
  {
    when: "a set-user-ID program is added",
    observed: [changed({ change: "added", mode: "4755", attributes: [] })],
    says: "critical: /usr/bin/ls was added",
  },
  {
    when: "a program is added",
    observed: [changed({ change: "added", attributes: [] })],
    says: "high: /usr/bin/ls was added",
  },
  {
    when: "one is gone",
    observed: [changed({ change: "removed", attributes: [] })],
    says: "high: /usr/bin/ls was removed",
  },
  {
    when: "a folder that everybody may write to, which is no program",
    observed: [
      changed({ fileType: "folder", mode: "6777", attributes: [{ attribute: "mode", before: "0755", after: "6777" }] }),
    ],
    says: "high: /usr/bin/ls changed: mode was 0755, is 6777",
  },
  {
    when: "a configuration file is edited",
    observed: [changed({ path: "/etc/hosts", group: "config", attributes: [SHA] })],
    says: `medium: /etc/hosts changed: ${CONTENT}`,
  },
  {
    when: "the beginning of a log is another",
    observed: [changed({ path: "/opt/a.log", group: "growing", attributes: [SHA] })],
    says: `high: /opt/a.log changed: ${CONTENT}`,
  },
  {
    when: "something was changed and changed back",
    observed: [changed({ attributes: [{ attribute: "ctime", before: "1", after: "2" }] })],
    says: "medium: /usr/bin/ls changed: ctime was 1, is 2",
  },
  {
    when: "it was touched",
    observed: [changed({ attributes: [{ attribute: "mtime", before: "1", after: "2" }] })],
    says: "low: /usr/bin/ls changed: mtime was 1, is 2",
  },
  {
    when: "it was moved",
    observed: [changed({ change: "moved", from: "/usr/bin/dir", attributes: [] })],
    says: "medium: /usr/bin/ls was /usr/bin/dir",
  },
  {
    when: "it cannot be read any more",
    observed: [changed({ change: "unreadable", reason: "EIO", attributes: [] })],
    says: "medium: /usr/bin/ls is unreadable: EIO",
  },
  {
    when: "it is being written",
    observed: [changed({ change: "unstable", reason: "it was being written", attributes: [] })],
    says: "low: /usr/bin/ls is unstable: it was being written",
  },
  {
    when: "much is another",
    observed: [
      changed({ attributes: ["a", "b", "c", "d"].map((attribute) => ({ attribute, after: "x".repeat(70) })) }),
    ],
    says: `high: /usr/bin/ls changed: ${["a", "b", "c"].map((each) => `${each} is ${"x".repeat(61)}...`).join("; ")}; and 1 more`,
  },
  { when: "nothing of it", observed: [tick(AT)], says: undefined },
]);

// What memory-read says of the memory of the whole machine, in which every protected process lies: whoever opens it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryRead } from "../../src/detectors/memory-read.ts";
import type { ObservationOf } from "../../src/observation.ts";
import { AT, aProcess, detect, seen } from "./observations.ts";
import { check } from "./table.ts";

type Opened = ObservationOf<"machine-memory.opened">;

const DD = seen(aProcess(93, { comm: "dd", uid: 0 }));

function opened(rest: Partial<Omit<Opened, "kind">> = {}): Opened {
  return {
    kind: "machine-memory.opened", at: AT, sensor: "ptrace-access", memory: "kcore", access: "open", pid: 93, tid: 93,
    action: "seen", suppressed: 0, ...rest,
  }; // prettier-ignore
}

check(memoryRead, [
  {
    when: "a process asked to open kcore",
    observed: [DD, opened()],
    says: "critical: dd (93, root) asked to open /proc/kcore, the memory of the kernel and of every process",
    technique: "proc-kcore",
    suspect: 93,
    everyTenant: true,
  },
  {
    when: "it was refused",
    observed: [DD, opened({ memory: "device", action: "refused" })],
    says: "critical: dd (93, root) asked to open /dev/mem, /dev/kmem or /dev/port, the physical memory, and was refused",
    technique: "dev-mem",
    suspect: 93,
    everyTenant: true,
  },
  {
    when: "rimon had given no sign of life",
    observed: [DD, opened({ action: "asleep" })],
    says: "critical: dd (93, root) asked to open /proc/kcore, the memory of the kernel and of every process; it was to be refused, but rimon had given no sign of life",
    suspect: 93,
    everyTenant: true,
  },
  {
    when: "a mark says by which path",
    observed: [DD, opened({ sensor: "fanotify", access: "read", path: "/mnt/kcore" })],
    says: "critical: dd (93, root) read /mnt/kcore, the memory of the kernel and of every process",
    technique: "proc-kcore",
    suspect: 93,
    everyTenant: true,
  },
  {
    when: "nobody knows who asked any more",
    observed: [opened()],
    says: "critical: process 93 (gone before it could be read) asked to open /proc/kcore, the memory of the kernel and of every process",
    suspect: 93,
    everyTenant: true,
  },
]);

test("one opening is one act, told by the kernel's check and by a mark; a refusal is another", () => {
  const act = (rest: Partial<Omit<Opened, "kind">>): readonly unknown[] => {
    const found = detect(memoryRead, [DD, opened(rest)]);
    return [found?.operation, found?.subject];
  };
  const first = act({});
  assert.deepEqual(act({ sensor: "fanotify", path: "/proc/kcore" }), first);
  assert.deepEqual(act({ sensor: "fanotify", access: "read", path: "/proc/kcore" }), first);
  assert.notDeepEqual(act({ memory: "device" }), first);
  assert.notDeepEqual(act({ action: "refused" }), first);
  assert.notDeepEqual(act({ access: "write" }), first);
});

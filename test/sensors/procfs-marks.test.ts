// A procfs that comes and goes while it is watched. The mount is made in this test's own folder by test/attacks'
// procmount, which also takes it away.

import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { it } from "node:test";
import { decodeRecords, type NativeRecord } from "../../src/records.ts";
import { createProcfsMarks } from "../../src/sensors/procfs-marks.ts";
import { mountProcfs } from "../fixtures/attack.ts";
import { Recording } from "../fixtures/recording.ts";
import { createContext } from "./context.ts";

const DEADLINE_MS = 20_000;

it("a procfs is marked when it is mounted, does not stay mounted for that, and is forgotten when it goes", async () => {
  const context = createContext();
  const records = new Recording<NativeRecord>("records");
  const watch = context.addon.openWatch({ connector: false, files: true }, context.procfs, (batch) => {
    for (const record of decodeRecords(batch)) {
      if (record.kind === "mounts") marks.changed(record.id);
      records.add(record);
    }
  });
  const marks = createProcfsMarks(context, watch, "fanotify");
  await marks.start();
  const ownDev = statSync("/proc").dev;
  assert.deepEqual([marks.place(ownDev)?.own, marks.place(ownDev)?.ownPids], [true, true]);
  assert.deepEqual(context.of("procfs.mounted"), [], "what was there at the start is not told");

  const mounted = await mountProcfs();
  const told = await context.emitted.waitFor(
    (each) => each.kind === "procfs.mounted" && each.path === mounted.directory,
    DEADLINE_MS,
    "the mount to be told",
  );
  assert.ok(told.kind === "procfs.mounted" && told.marked, JSON.stringify(told));
  assert.deepEqual([marks.place(told.dev)?.own, marks.place(told.dev)?.ownPids], [false, true]);
  assert.equal(told.dev, statSync(mounted.directory).dev);

  // A child of another process's memory read through it is told with that procfs' device.
  readFileSync(`${mounted.directory}/self/environ`);
  await marks.pass();
  assert.deepEqual(marks.unmarked(), []);

  await mounted.unmount();
  await records.waitFor((record) => record.kind === "mounts", DEADLINE_MS);
  // The table is read again on its own after the event; how soon is no matter of the test.
  const deadline = Date.now() + DEADLINE_MS;
  while (marks.place(told.dev) !== undefined) {
    assert.ok(Date.now() < deadline, "the mark of a procfs that is gone was not forgotten");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }

  const again = await mountProcfs();
  await context.emitted.waitFor(
    (each) => each.kind === "procfs.mounted" && each.path === again.directory && each.marked,
    DEADLINE_MS,
    "the second mount to be told",
  );
  await again.unmount();
  await marks.stop();
  watch.close();
  context.close();
});

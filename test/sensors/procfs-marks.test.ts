// A procfs that comes and goes while it is watched. The mount is made in this test's own folder by test/attacks'
// procmount, which also takes it away, or in a mount namespace that ends with its only process.

import assert from "node:assert/strict";
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { it } from "node:test";
import type { ProcessSeen, ProcfsMounted } from "../../src/observation.ts";
import type { NativeRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { createProcfsMarks, type ProcfsMarks } from "../../src/sensors/procfs-marks.ts";
import { mountProcfs } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { Recording } from "../fixtures/recording.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { createContext, type TestContext } from "./context.ts";

const DEADLINE_MS = 20_000;

interface Watched {
  readonly context: TestContext;
  readonly records: Recording<NativeRecord>;
  readonly marks: ProcfsMarks;
  close(): Promise<void>;
}

function watchProcfs(): Watched {
  const context = createContext();
  const records = new Recording<NativeRecord>("records");
  const watch = context.addon.openWatch({ connector: false, files: true }, context.procfs, (batch) => {
    for (const record of decodeRecords(batch)) {
      if (record.kind === "mounts") marks.changed(record.id);
      records.add(record);
    }
  });
  const marks = createProcfsMarks(context, watch, "fanotify");
  return {
    context,
    records,
    marks,
    async close() {
      await marks.stop();
      watch.close();
      context.close();
    },
  };
}

it("a procfs is marked when it is mounted, does not stay mounted for that, and is forgotten when it goes", async () => {
  const { context, records, marks, close } = watchProcfs();
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
  await close();
});

interface Shell {
  readonly mountNamespace: number;
  /** As a scan would tell of it. */
  readonly seen: ProcessSeen;
  run(command: string): Promise<string>;
  /** Ends it, and its mount namespace with it. */
  end(): Promise<unknown>;
}

/** A shell alone in a mount namespace, which says on one line what a command printed. */
async function mountShell(): Promise<Shell> {
  const loop = 'while read -r command; do echo "$(eval "$command" 2>&1)"; done';
  const child = new Child("setpriv", ["--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", loop]);
  async function run(command: string): Promise<string> {
    child.send(command);
    return child.takeLine(DEADLINE_MS);
  }
  const link = await run("readlink /proc/self/ns/mnt");
  assert.notEqual(link, readlinkSync("/proc/self/ns/mnt"));
  const mountNamespace = Number(/\d+/.exec(link)?.[0]);
  const { pid } = child;
  const process = { pid, startTime: 0, parentPid: 0, comm: "sh", kernelThread: false, mountNamespace };
  return {
    mountNamespace,
    seen: { kind: "process.seen", at: 0, sensor: "process-table", by: "scan", process },
    run,
    end: () => child.stop("SIGKILL"),
  };
}

it("a procfs that something is mounted over is not taken for marked, and is marked once it is uncovered", async () => {
  const { context, marks, close } = watchProcfs();
  await marks.start();
  const { mountNamespace, seen, run, end } = await mountShell();
  const [twice, hidden] = [temporaryDirectory("twice"), temporaryDirectory("hidden")];
  const lower = Number(await run(`mount -t proc proc ${twice} && stat -c %d ${twice}`));
  const upper = Number(await run(`mount -t proc proc ${twice} && stat -c %d ${twice}`));
  const below = Number(await run(`mount -t proc proc ${hidden} && stat -c %d ${hidden}`));
  assert.equal(await run(`mount -t tmpfs none ${hidden}`), "");
  assert.equal(new Set([lower, upper, below]).size, 3);

  const told = (): ProcfsMounted[] =>
    context.of("procfs.mounted").filter((each) => each.mountNamespace === mountNamespace);
  const tellingOf = (dev: number) =>
    context.emitted.waitFor((each) => each.kind === "procfs.mounted" && each.dev === dev, DEADLINE_MS, `device ${dev}`);
  marks.notice(seen);
  await tellingOf(upper);
  await marks.pass();
  assert.deepEqual(
    told().map(({ path, dev, marked }) => ({ path, dev, marked })),
    [{ path: twice, dev: upper, marked: true }],
  );
  assert.deepEqual(
    [lower, upper, below].map((dev) => marks.place(dev)?.ownPids),
    [undefined, true, undefined],
  );
  assert.deepEqual(marks.unmarked(), []);

  assert.equal(await run(`umount ${twice}`), "");
  await tellingOf(lower);
  assert.equal(await run(`umount ${hidden}`), "");
  await tellingOf(below);
  await marks.pass();
  assert.deepEqual(
    [lower, upper, below].map((dev) => marks.place(dev)?.ownPids),
    [true, undefined, true],
  );

  assert.ok(told().every(({ marked }) => marked));
  assert.deepEqual(marks.unmarked(), []);
  await end();
  await close();
});

it("a procfs of which one mount is covered is marked by another", async () => {
  const { context, marks, close } = watchProcfs();
  await marks.start();
  const { mountNamespace, seen, run, end } = await mountShell();
  const [covered, open] = [temporaryDirectory("covered"), temporaryDirectory("open")];
  const dev = Number(await run(`mount -t proc proc ${covered} && stat -c %d ${covered}`));
  assert.equal(await run(`mount --bind ${covered} ${open} && mount -t tmpfs none ${covered}`), "");
  marks.notice(seen);
  const told = await context.emitted.waitFor(
    (each) => each.kind === "procfs.mounted" && each.mountNamespace === mountNamespace,
    DEADLINE_MS,
  );
  assert.ok(told.kind === "procfs.mounted");
  assert.deepEqual([told.path, told.dev, told.marked], [open, dev, true]);
  await end();
  await close();
});

// bpf/sysctl.bpf.c on the running kernel, attached to a cgroup of the test's own: who of its tasks writes core_pattern is
// refused and told, and nobody else is. What is written is always the value that stands there.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { requireAddon, type Watch } from "../../src/native.ts";
import type { NativeRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { exitOf, lineOf, start, until } from "./child.ts";

const { addon } = requireAddon();
const NOBODY = BigUint64Array.of();
const WRITE =
  'for f in kernel/core_pattern fs/suid_dumpable; do v=$(cat /proc/sys/$f); echo "$v" >/proc/sys/$f; echo $?; done';

interface Watching {
  readonly watch: Watch;
  readonly records: NativeRecord[];
  readonly cgroup: string;
}

function open(t: TestContext): Watching | undefined {
  const mounted = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(readFileSync("/proc/self/mountinfo", "utf8"))?.[1];
  if (mounted === undefined) {
    t.skip("it needs cgroup v2, which is not mounted");
    return undefined;
  }
  const cgroup = join(mounted, `rimon-test-${process.pid}`);
  mkdirSync(cgroup);
  t.after(() => rmdirSync(cgroup));
  const procfs = addon.openProcfs();
  const records: NativeRecord[] = [];
  const sources = { connector: false, files: false, sysctl: true };
  const watch = addon.openWatch(sources, procfs, (batch) => void records.push(...decodeRecords(batch)));
  t.after(() => {
    watch.close();
    procfs.close();
  });
  assert.equal(watch.status().sysctl.live, false);
  watch.guardSettings(NOBODY, true, cgroup);
  const { live, reason } = watch.status().sysctl;
  if (live) return { watch, records, cgroup };
  t.skip(`it needs eBPF: ${reason}`);
  return undefined;
}

/** A shell that writes both settings when it is told to, in the cgroup or outside of it. */
async function writer(t: TestContext, cgroup?: string) {
  const shell = start(t, "sh", ["-c", `echo ready; read -r line; ${WRITE}`], { stdio: ["pipe", "pipe", "ignore"] });
  assert.equal(await lineOf(shell), "ready");
  if (cgroup !== undefined) writeFileSync(join(cgroup, "cgroup.procs"), String(shell.pid));
  return {
    pid: shell.pid,
    async write(): Promise<string[]> {
      shell.stdin?.write("go\n");
      const codes = [await lineOf(shell), await lineOf(shell)];
      await exitOf(shell);
      return codes;
    },
  };
}

const settings = (): string[] =>
  ["kernel/core_pattern", "fs/suid_dumpable"].map((name) => readFileSync(`/proc/sys/${name}`, "utf8"));

test("a write is refused below the cgroup, and told with what was to be written", async (t) => {
  const watching = open(t);
  if (watching === undefined) return;
  const before = settings();
  const [inside, outside] = [await writer(t, watching.cgroup), await writer(t)];
  assert.deepEqual(await inside.write(), ["1", "1"]);
  assert.deepEqual(await outside.write(), ["0", "0"]);
  const told = await until("both refusals", () => {
    const found = watching.records.filter((record) => record.kind === "sysctl");
    return found.length === 2 ? found : undefined;
  });
  assert.deepEqual(
    told.map(({ setting, action, value }) => [setting, action, value]),
    [
      ["kernel.core_pattern", "refused", before[0]?.trimEnd()],
      ["fs.suid_dumpable", "refused", before[1]?.trimEnd()],
    ],
  );
  for (const { pid } of told)
    assert.ok(watching.records.some((record) => record.kind === "process" && record.process.pid === pid));
  assert.deepEqual(settings(), before);
});

test("what is let go of is allowed again, and can be guarded anew", async (t) => {
  const watching = open(t);
  if (watching === undefined) return;
  const { watch, cgroup } = watching;
  watch.leaveSettings();
  assert.equal(watch.status().sysctl.live, false);
  assert.deepEqual(await (await writer(t, cgroup)).write(), ["0", "0"]);
  watch.guardSettings(NOBODY, true, cgroup);
  assert.deepEqual(await (await writer(t, cgroup)).write(), ["1", "1"]);
});

test("what descends from this process is spared unless it is said otherwise", async (t) => {
  const watching = open(t);
  if (watching === undefined) return;
  const { watch, cgroup, records } = watching;
  watch.guardSettings(NOBODY, false, cgroup);
  assert.deepEqual(await (await writer(t, cgroup)).write(), ["0", "0"]);
  await until("what was let through", () => records.find((record) => record.kind === "sysctl" && record.action === "seen")); // prettier-ignore
});

test("a folder that is no cgroup is none", (t) => {
  const procfs = addon.openProcfs();
  const watch = addon.openWatch({ connector: false, files: false, sysctl: true }, procfs, () => {});
  t.after(() => {
    watch.close();
    procfs.close();
  });
  watch.guardSettings(NOBODY, true, "/proc");
  const { live, reason } = watch.status().sysctl;
  assert.equal(live, false);
  assert.ok(reason !== undefined && reason !== "", "it says why");
});

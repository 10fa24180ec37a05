// Limits of control groups out of either version, and out of both at once: trees that are given, and that of this node.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, test, type TestContext } from "node:test";
import { cgroupLimits } from "../../src/baselines/cgroup-limits.ts";
import { check, procfs, snapshot } from "../../src/isolation.ts";
import { Child } from "../fixtures/child.ts";

const mounted = (root: string, point: string, type: string, options: string): string =>
  `30 20 0:30 ${root} ${point} rw,nosuid shared:9 - ${type} ${type} ${options}`;
const UNIFIED = mounted("/", "/sys/fs/cgroup", "cgroup2", "rw,nsdelegate");
const HYBRID = [
  mounted("/", "/sys/fs/cgroup/unified", "cgroup2", "rw"),
  mounted("/", "/sys/fs/cgroup/systemd", "cgroup", "rw,xattr,name=systemd"),
  mounted("/", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
  mounted("/", "/sys/fs/cgroup/memory", "cgroup", "rw,memory"),
  mounted("/", "/sys/fs/cgroup/pids", "cgroup", "rw,pids"),
  mounted("/", "/sys/fs/cgroup/devices", "cgroup", "rw,devices"),
].join("\n");
const IN_VAULT =
  "5:devices:/vault\n4:pids:/vault\n3:memory:/vault/a b\n2:cpu,cpuacct:/\n1:name=systemd:/vault\n0::/vault\n";

const readIn = (files: Readonly<Record<string, string>>) => (path: string) => files[path];

describe("limits of control groups", () => {
  it("are those of the unified hierarchy, by its files", () => {
    const files = {
      "/sys/fs/cgroup/vault/memory.max": "1073741824\n",
      "/sys/fs/cgroup/vault/pids.max": "64\n",
      "/sys/fs/cgroup/vault/io.max": "8:0 rbps=1\n8:16 rbps=2\n",
      "/sys/fs/cgroup/vault/memory.current": "4096\n",
    };
    const limits = ["io.max 8:0 rbps=1, 8:16 rbps=2", "memory.max 1073741824", "pids.max 64"];
    assert.deepEqual(cgroupLimits("0::/vault\n", UNIFIED, readIn(files)), limits);
  });

  it("are those of each controller of version 1, in the group that it has the process in", () => {
    const files = {
      "/sys/fs/cgroup/pids/vault/pids.max": "64\n",
      "/sys/fs/cgroup/memory/vault/a b/memory.limit_in_bytes": "1073741824\n",
      "/sys/fs/cgroup/memory/vault/a b/memory.usage_in_bytes": "4096\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.shares": "1024\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpuacct.usage": "1\n",
      "/sys/fs/cgroup/devices/vault/devices.list": "c 1:3 rwm\nc 1:5 rwm\n",
      // Where version 2 has no controllers it has no limits.
      "/sys/fs/cgroup/unified/vault/cgroup.procs": "1\n",
    };
    assert.deepEqual(cgroupLimits(IN_VAULT, HYBRID, readIn(files)), [
      "devices.list c 1:3 rwm, c 1:5 rwm",
      "pids.max 64",
      "memory.limit_in_bytes 1073741824",
      "cpu.shares 1024",
    ]);
  });

  it("are found in a container, where a part of the hierarchy is mounted", () => {
    const mountinfo = mounted("/docker/abc", "/sys/fs/cgroup/pids", "cgroup", "rw,pids");
    const files = { "/sys/fs/cgroup/pids/pids.max": "1\n", "/sys/fs/cgroup/pids/inner/pids.max": "2\n" };
    const of = (path: string) => cgroupLimits(`4:pids:${path}\n`, mountinfo, readIn(files));
    assert.deepEqual([of("/docker/abc"), of("/docker/abc/inner")], [["pids.max 1"], ["pids.max 2"]]);
    assert.deepEqual([of("/docker/abcd"), of("/"), of("/../x")], [undefined, undefined, undefined]);
  });

  it("are none where nothing is mounted, or nothing makes sense", () => {
    for (const [cgroup, mountinfo] of [
      ["0::/\n", ""],
      ["", HYBRID],
      ["nonsense", HYBRID],
      ["7:net_cls:/\n", HYBRID],
    ] as const)
      // prettier-ignore
      assert.equal(cgroupLimits(cgroup, mountinfo, () => "1\n"), undefined, cgroup);
    assert.deepEqual(cgroupLimits("0::/\n", UNIFIED, () => undefined), []); // prettier-ignore
  });
});

/** Where this node has pids.max: the hierarchy of version 1, or the unified one with the controller handed down. */
function pidsHierarchy(t: TestContext): string {
  const mountinfo = readFileSync("/proc/self/mountinfo", "utf8");
  const found = /^(?:\S+ ){4}(\S+) .* - cgroup \S+ \S*\bpids\b/m.exec(mountinfo)?.[1];
  if (found !== undefined) return found;
  const unified = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(mountinfo)?.[1];
  assert.ok(unified !== undefined, "control groups must be mounted");
  const handedDown = join(unified, "cgroup.subtree_control");
  if (!readFileSync(handedDown, "utf8").includes("pids")) {
    writeFileSync(handedDown, "+pids");
    t.after(() => writeFileSync(handedDown, "-pids"));
  }
  return unified;
}

test("a limit of a process of this node that is raised is told", async (t) => {
  const child = new Child("sleep", ["1000"]);
  const hierarchy = pidsHierarchy(t);
  const group = join(hierarchy, `rimon-test-${process.pid}`);
  mkdirSync(group);
  t.after(async () => {
    await child.stop("SIGKILL");
    rmdirSync(group);
  });
  writeFileSync(join(group, "pids.max"), "7");
  writeFileSync(join(group, "cgroup.procs"), String(child.pid));
  const options = { subsystems: ["cgroups"] };
  const baseline = snapshot(procfs.live(child.pid), options);
  assert.equal(baseline.subsystems["cgroups"]?.facts?.["pids.max"], "7");
  assert.equal(check(baseline, procfs.live(child.pid), options).ok, true);
  writeFileSync(join(group, "pids.max"), "max");
  const checked = check(baseline, procfs.live(child.pid), options);
  assert.deepEqual(checked.ok ? [] : checked.anomalies.map(({ message }) => message), ["cgroups: pids.max was 7, is max"]); // prettier-ignore
});

// What concerns the whole node and is refused when that is asked for: core_pattern, and the memory of the machine. By
// whoever and whatever way, until rimon gives no sign of life or ends.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Finding } from "../../src/finding.ts";
import type { GuestOptions } from "./guest.ts";
import { findingsOf, outcomesOf, runSections, type Sections } from "./sections.ts";

/** What `tries` does, and how each ends: by the shell, through a procfs of one's own, through one mounted nowhere. */
const PRELUDE = `
cd /tmp
mkdir own
mknod node c 1 1
start() {
  printf '%s\\n' "$1" >rimon.yaml
  RIMON_STATE_DIR=/tmp/state rimon run --json --config rimon.yaml >records 2>errors &
  rimon=$!
  told '"type":"ready"'
}
try() {
  name=$1; shift
  if ("$@") >/dev/null 2>answer; then echo "$name granted"; else echo "$name $(grep -o 'Operation not permitted\\|Permission denied' answer)"; fi
}
# The value that stands there.
write() { cat /proc/sys/$2 >value; dd if=value of=$1/sys/$2; }
one() { head -c 1 $1; }
tries() {
  mount -t proc proc own
  try pattern write /proc kernel/core_pattern
  try pattern-own write own kernel/core_pattern
  try suid write /proc fs/suid_dumpable
  try other write /proc vm/swappiness
  try kcore one /proc/kcore
  try kcore-own one own/kcore
  try mem one /dev/mem
  try mem-node one node
  umount own
}
`;

const OTHERS = { other: "granted" };
const PATTERN = ["pattern", "pattern-own", "suid"];
const MACHINE = ["kcore", "kcore-own", "mem", "mem-node"];
const REFUSED = "Operation not permitted";

function expected(refused: readonly string[]): Readonly<Record<string, string>> {
  const all = [...PATTERN, ...MACHINE].map((name) => [name, refused.includes(name) ? REFUSED : "granted"]);
  return { ...Object.fromEntries(all), ...OTHERS };
}

function sections(options: Omit<GuestOptions, "extras">): Promise<Sections> {
  return runSections({ ...options, script: `${PRELUDE}${options.script}` });
}

function findings(lines: readonly string[] | undefined): string[] {
  return findingsOf(lines, "ptrace-access", "sysctl");
}

const BOTH = "mode: enforce\nenforce: [{ operations: [core-pattern, machine-memory] }]";

describe("what concerns the node is refused to everybody", () => {
  for (const kernel of ["6.1", "6.12", "newest"] as const) {
    test(kernel, async () => {
      const found = await sections({
        kernel,
        script: `
section before; tries
start '${BOTH.replaceAll("\n", "'\"\n\"'")}'
section refused; tries
told '"operation":"write-refused"'
kill -STOP $rimon; sleep 11
section asleep; tries
kill -CONT $rimon
told '"operation":"write-not-refused"'
# Its next sign of life comes with its next pass.
for _ in $(seq 60); do tries >answers; grep -q 'pattern Op' answers && break; sleep 0.5; done
section awake; cat answers
kill -KILL $rimon; wait $rimon
section killed; tries
section findings; grep '^{"type":"finding"' records`,
      });
      const refused = expected([...PATTERN, ...MACHINE]);
      assert.deepEqual(outcomesOf(found.get("before")), expected([]));
      assert.deepEqual(outcomesOf(found.get("refused")), refused);
      assert.deepEqual(outcomesOf(found.get("asleep")), expected([]));
      assert.deepEqual(outcomesOf(found.get("awake")), refused);
      assert.deepEqual(outcomesOf(found.get("killed")), expected([]));
      const told = findings(found.get("findings"));
      for (const each of [
        'core-dump write-refused: dd (N, root) asked to write "core" to kernel.core_pattern, and was refused',
        'core-dump write-refused: dd (N, root) asked to write "N" to fs.suid_dumpable, and was refused',
        'core-dump write-not-refused: dd (N, root) asked to write "core" to kernel.core_pattern; it was to be refused, but rimon had given no sign of life',
        "memory-read read-refused: head (N, root) asked to open /proc/kcore, the memory of the kernel and of every process, and was refused",
        "memory-read read-refused: head (N, root) asked to open /dev/mem, /dev/kmem or /dev/port, the physical memory, and was refused",
      ])
        assert.ok(told.includes(each), `${each}\n\n${told.join("\n")}`);
      assert.ok(!told.some((each) => each.includes("swappiness")), told.join("\n"));
    });
  }
});

test("only what is listed is refused, but to an executable that is excepted; a reload adds and takes away", async () => {
  const found = await sections({
    kernel: "6.1",
    script: `
# busybox knows itself by the beginning of its name.
cp /bin/busybox busybox-spared
sum=$(sha256sum busybox-spared | cut -d' ' -f1)
configured() {
  printf 'mode: enforce\\nenforce: [{ operations: [%s] }]\\nexceptions: [{ rule: core-dump, suspect: { exe: /tmp/busybox-spared, sha256: "%s" }, reason: ours, expires: 2026-12-31 }]\\nenvironment: development\\n' $1 $sum
}
reload() { configured $1 >rimon.yaml; kill -HUP $rimon; n=$((n + 1)); until [ $(grep -c 'configuration reloaded' errors) = $n ]; do sleep 0.2; done; }
n=0
start "$(configured core-pattern)"
section core-pattern; tries
spared_write() { cat /proc/sys/kernel/core_pattern >value; ./busybox-spared dd if=value of=/proc/sys/kernel/core_pattern; }
for _ in $(seq 40); do try spared spared_write >answers; grep -q granted answers && break; sleep 0.5; done
section spared; cat answers
reload machine-memory
section machine-memory; tries
kill -TERM $rimon; wait $rimon
section ended; tries`,
  });
  assert.deepEqual(outcomesOf(found.get("core-pattern")), expected(PATTERN));
  assert.deepEqual(outcomesOf(found.get("spared")), { spared: "granted" });
  assert.deepEqual(outcomesOf(found.get("machine-memory")), expected(MACHINE));
  assert.deepEqual(outcomesOf(found.get("ended")), expected([]));
});

test("in mode monitor nothing is refused, and who opens the memory of the machine is told; fanotify alone sees kcore", async () => {
  const script = (rimon: string) => `
start 'mode: monitor'
section granted; tries
told 'memory-read'; sleep 2
section ready; grep '^{"type":"ready"' records
kill -TERM $rimon; wait ${rimon}
section findings; grep '^{"type":"finding"' records`;
  for (const kernel of ["6.1", "5.10"] as const) {
    const found = await sections({ kernel, script: script("$rimon") });
    assert.deepEqual(outcomesOf(found.get("granted")), expected([]));
    const ready = JSON.parse(found.get("ready")?.[0] ?? "") as { sensors: { name: string; state: string }[] };
    assert.equal(ready.sensors.find(({ name }) => name === "sysctl")?.state, "off");
    const told = (found.get("findings") ?? []).map((line) => JSON.parse(line) as Finding);
    const read = told
      .filter(({ rule }) => rule === "memory-read")
      .map(({ sensor, message }) => `${sensor}: ${message}`);
    const kcore = read.filter((each) => each.includes("kcore"));
    // A procfs that is mounted for a moment only has no mark yet.
    assert.ok(kcore.length >= (kernel === "6.1" ? 2 : 1), told.map(({ message }) => message).join("\n"));
    assert.equal(read.filter((each) => each.startsWith("ptrace-access: head")).length > 0, kernel === "6.1", read.join("\n")); // prettier-ignore
    assert.equal(read.some((each) => each.includes("/dev/mem")), kernel === "6.1", read.join("\n")); // prettier-ignore
  }
});

test("where cgroup v2 is not mounted that is said, and core_pattern is only told", async () => {
  const found = await sections({
    kernel: "6.1",
    script: `
umount /sys/fs/cgroup
start '${BOTH.replaceAll("\n", "'\"\n\"'")}'
section granted; tries
section ready; grep '^{"type":"ready"' records
kill -TERM $rimon; wait $rimon`,
  });
  assert.deepEqual(outcomesOf(found.get("granted")), expected(MACHINE));
  const ready = JSON.parse(found.get("ready")?.[0] ?? "") as {
    sensors: { name: string; state: string; reason?: string }[];
    weakened: string[];
  };
  const sensor = ready.sensors.find(({ name }) => name === "sysctl");
  assert.equal(sensor?.state, "unavailable");
  assert.match(sensor?.reason ?? "", /^ENOENT: find the root of cgroup v2/);
  assert.ok(
    ready.weakened.some((each) => each.includes("core-pattern (the sensor sysctl is not live)")),
    ready.weakened.join("\n"),
  );
});

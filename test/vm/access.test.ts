// The rung that refuses: who may reach into a protected process, answered by an eBPF program in front of the kernel's
// security modules, whether or not bpf is one of those.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { CACHE } from "./debian.ts";
import type { GuestOptions } from "./guest.ts";
import { findingsOf, outcomesOf, runSections, type Sections } from "./sections.ts";

const SOURCE = fileURLToPath(new URL("programs/reach.c", import.meta.url));

const GRANTED = {
  readv: "granted",
  writev: "granted",
  mem: "granted",
  "task-mem": "granted",
  attach: "granted",
  seize: "granted",
  "seize-32": "granted",
  getfd: "granted",
  kcmp: "granted",
  maps: "granted",
  environ: "granted",
  stat: "granted",
  exe: "granted",
  setns: "granted",
};
const READS_REFUSED = { readv: "EPERM", writev: "EPERM", mem: "EACCES", "task-mem": "EACCES" };
const ATTACHES_REFUSED = { attach: "EPERM", seize: "EPERM", "seize-32": "EPERM", getfd: "EPERM", kcmp: "EPERM" };

const RULES = ["memory-read", "ptrace-attach"];
const WITHOUT_BPF = "lockdown,capability,landlock,yama";

const program = buildReach();

/** Static, since the machine has no other libraries than node's; at a fixed address, for one process to know another's. */
function buildReach(): string {
  const path = join(CACHE, "reach");
  mkdirSync(CACHE, { recursive: true });
  const flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-no-pie"];
  execFileSync("gcc", [...flags, "-o", path, SOURCE], { timeout: 60_000 });
  return path;
}

/** Two victims, of which rimon protects the first; `start RULES...` and `asked NAME` of it. */
const PRELUDE = `
cd /tmp
for name in vault other reach; do cp /rimon/.vm/reach $name || exit 1; done
./vault hold & vault=$!
./other hold & other=$!
export RIMON_STATE_DIR=/tmp/state
start() {
  printf 'mode: enforce\\nprotect: ["comm:vault"]\\nenforce: [{ protect: "comm:vault", operations: [%s] }]\\n' "$1" >rimon.yaml
  shift
  "$@" rimon run --json --config rimon.yaml >records 2>errors &
  rimon=$!
  told '"type":"ready"'
}
`;

function sections(options: Omit<GuestOptions, "extras">): Promise<Sections> {
  return runSections({ ...options, script: `${PRELUDE}${options.script}`, extras: [program, "ps"] });
}

const MACHINES: readonly (Pick<GuestOptions, "kernel" | "lsm"> & { readonly name: string })[] = [
  { name: "6.1", kernel: "6.1" },
  { name: "6.12", kernel: "6.12" },
  { name: "6.1 without bpf in lsm=", kernel: "6.1", lsm: WITHOUT_BPF },
  { name: "6.12 without bpf in lsm=", kernel: "6.12", lsm: WITHOUT_BPF },
  { name: "the newest", kernel: "newest" },
];

describe("what reaches into a protected process is refused", () => {
  for (const { name, ...machine } of MACHINES) {
    test(name, async () => {
      const found = await sections({
        ...machine,
        script: `
start 'memory-read, ptrace-attach'
section refused; ./reach $vault
section stranger; ./reach $other
section ps; /usr/bin/ps aux
told '"operation":"access-refused"'
kill -STOP $rimon; sleep 11
section asleep; ./reach $vault
kill -CONT $rimon
told '"operation":"access-not-refused"'
# Its next sign of life comes with its next pass.
for _ in $(seq 60); do ./reach $vault >answers; grep -q EPERM answers && break; sleep 0.5; done
section awake; cat answers
kill -KILL $rimon; wait $rimon
section killed; ./reach $vault
section findings; grep '^{"type":"finding"' records`,
      });
      const everything = { ...GRANTED, ...READS_REFUSED, ...ATTACHES_REFUSED };
      assert.deepEqual(outcomesOf(found.get("refused")), everything);
      assert.deepEqual(outcomesOf(found.get("stranger")), GRANTED);
      assert.ok(
        found.get("ps")?.some((line) => /^root .*\.\/vault hold$/.test(line)),
        found.get("ps")?.join("\n"),
      );
      assert.deepEqual(outcomesOf(found.get("asleep")), GRANTED);
      assert.deepEqual(outcomesOf(found.get("awake")), everything);
      assert.deepEqual(outcomesOf(found.get("killed")), GRANTED);
      const told = findingsOf(found.get("findings"), "ptrace-access").sort();
      for (const expected of [
        "memory-read read-refused: reach (N, root) asked to read the memory of vault (N, root) by process_vm_readv, and was refused",
        "memory-read write-refused: reach (N, root) asked to write to the memory of vault (N, root) by process_vm_writev, and was refused",
        "ptrace-attach attach-refused: reach (N, root) asked to attach to vault (N, root) with ptrace, and was refused",
        "ptrace-attach access-refused: reach (N, root) asked for a descriptor of vault (N, root) by pidfd_getfd, and was refused",
        "memory-read read-not-refused: reach (N, root) asked to read the memory of vault (N, root) by process_vm_readv; it was to be refused, but rimon had given no sign of life",
      ])
        assert.ok(told.includes(expected), told.join("\n"));
      assert.ok(!told.some((each) => each.includes("other")), told.join("\n"));
    });
  }
});

test("only what is listed is refused", async () => {
  const found = await sections({
    kernel: "6.12",
    script: `
for rule in ${RULES.join(" ")}; do
  start $rule
  section $rule; ./reach $vault
  kill -TERM $rimon; wait $rimon
done
section ended; ./reach $vault`,
  });
  assert.deepEqual(outcomesOf(found.get("ptrace-attach")), { ...GRANTED, ...ATTACHES_REFUSED });
  assert.deepEqual(outcomesOf(found.get("memory-read")), { ...GRANTED, ...READS_REFUSED });
  assert.deepEqual(outcomesOf(found.get("ended")), GRANTED);
});

test("a rimon that may not load programs says so, and refuses nothing", async () => {
  const found = await sections({
    kernel: "6.1",
    script: `
start 'memory-read, ptrace-attach' /usr/bin/setpriv --bounding-set -bpf,-sys_admin --inh-caps -bpf,-sys_admin
section granted; ./reach $vault
section ready; grep '^{"type":"ready"' records
kill -TERM $rimon; wait $rimon`,
  });
  assert.deepEqual(outcomesOf(found.get("granted")), GRANTED);
  const ready = JSON.parse(found.get("ready")?.[0] ?? "") as {
    sensors: { name: string; state: string; reason?: string }[];
  };
  const sensor = ready.sensors.find(({ name }) => name === "ptrace-access");
  assert.equal(sensor?.state, "unavailable");
  assert.match(sensor?.reason ?? "", /^EPERM: load the access check .*CAP_BPF/);
});

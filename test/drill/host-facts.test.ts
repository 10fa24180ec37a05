import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { test } from "node:test";
import { gatherHostFacts, parseHidepid, parseKernelConfig, parseLockdown } from "../../src/drill/host-facts.ts";

test("hidepid is that of the procfs that is seen at /proc", () => {
  const root = "23 1 0:20 / / rw - overlay overlay rw";
  const plain = "24 23 0:21 / /proc rw,nosuid shared:5 - proc proc rw";
  const hidden = "99 23 0:55 / /proc rw,relatime - proc proc rw,gid=4,hidepid=invisible";
  const elsewhere = "98 23 0:56 / /mnt/proc rw - proc proc rw,hidepid=2";
  assert.equal(parseHidepid([root, plain, elsewhere].join("\n")), "off");
  assert.equal(parseHidepid([root, plain, hidden].join("\n")), "invisible");
  assert.equal(parseHidepid(root), undefined);
});

test("lockdown is the word in brackets", () => {
  assert.equal(parseLockdown("[none] integrity confidentiality\n"), "none");
  assert.equal(parseLockdown("none [integrity] confidentiality\n"), "integrity");
  assert.equal(parseLockdown(""), undefined);
});

test("a kernel option counts if it is built in or a module", () => {
  const config = "CONFIG_PROC_EVENTS=y\n# CONFIG_FANOTIFY is not set\nCONFIG_BPF_SYSCALL=m\nCONFIG_SECURITY_YAMA_X=y\n";
  const { PROC_EVENTS, FANOTIFY, BPF_SYSCALL, SECURITY_YAMA } = parseKernelConfig(config);
  assert.deepEqual([PROC_EVENTS, FANOTIFY, BPF_SYSCALL, SECURITY_YAMA], [true, false, true, false]);
});

test("the facts are those of this machine", () => {
  const host = gatherHostFacts();
  assert.equal(host.kernel, release());
  assert.equal(host.uid, process.getuid?.());
  assert.equal(host.corePattern, readFileSync("/proc/sys/kernel/core_pattern", "utf8").trimEnd());
  const effective = /^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const bits = BigInt(`0x${effective}`).toString(2).replaceAll("0", "").length;
  assert.equal(host.capabilities?.length, bits);
  for (const value of Object.values(host)) assert.notEqual(value, undefined);
});

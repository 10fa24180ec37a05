// Snapshots: quiet about what changes by itself, and loud about every bit of what does not.

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, test, type TestContext } from "node:test";
import fc from "fast-check";
import { SUBSYSTEMS } from "../../src/baselines/all.ts";
import type { Anomaly, Checked, Snapshot } from "../../src/baselines/snapshot.ts";
import type { TextName } from "../../src/baselines/subsystem.ts";
import { Child } from "../fixtures/child.ts";
import { compile } from "../fixtures/compile.ts";
import { check, defaultHandler, procfs, snapshot, startDaemon, subsystems } from "../../src/isolation.ts";
import { requireAddon } from "../../src/native.ts";

type Given = Partial<Record<TextName, string>>;

const TEXTS = {
  maps: [
    "00400000-00452000 r-xp 00000000 fd:00 173521                             /usr/bin/vault",
    "00651000-00652000 r--p 00051000 fd:00 173521                             /usr/bin/vault",
    "00652000-00655000 rw-p 00052000 fd:00 173521                             /usr/bin/vault",
    "00e03000-00e24000 rw-p 00000000 00:00 0                                  [heap]",
    "7f12a4000000-7f12a4021000 rw-p 00000000 00:00 0 ",
    "7f12a8000000-7f12a8100000 r--s 00000000 fd:00 91                         /var/lib/vault/data.db",
    "7f12a9000000-7f12a9026000 r-xp 00000000 fd:00 2131                       /usr/lib/libc.so.6",
    "7f12a9026000-7f12a9027000 rw-p 00026000 fd:00 2131                       /usr/lib/libc.so.6",
    "7ffd3c000000-7ffd3c021000 rw-p 00000000 00:00 0                          [stack]",
    "7ffd3c1fe000-7ffd3c200000 r-xp 00000000 00:00 0                          [vdso]",
    "",
  ].join("\n"),
  status: [
    "Name:\tvault",
    "Umask:\t0077",
    "State:\tS (sleeping)",
    "Pid:\t412",
    "TracerPid:\t0",
    "Uid:\t991\t991\t991\t991",
    "Gid:\t991\t991\t991\t991",
    "VmRSS:\t   5120 kB",
    "Threads:\t4",
    "CapInh:\t0000000000000000",
    "CapPrm:\t0000000000004000",
    "CapEff:\t0000000000004000",
    "CapBnd:\t000000000000400f",
    "CapAmb:\t0000000000000000",
    "NoNewPrivs:\t1",
    "Seccomp:\t2",
    "Seccomp_filters:\t3",
    "Speculation_Store_Bypass:\tthread force mitigated",
    "voluntary_ctxt_switches:\t150",
    "",
  ].join("\n"),
  cgroup: "0::/system.slice/vault.service\n",
  "cgroup-limits": "memory.max 1073741824\npids.max 64\n",
  limits: [
    "Limit                     Soft Limit           Hard Limit           Units     ",
    "Max cpu time              unlimited            unlimited            seconds   ",
    "Max core file size        0                    0                    bytes     ",
    "Max realtime priority     0                    0                    ",
    "",
  ].join("\n"),
  coredump_filter: "00000033\n",
  ns: "mnt mnt:[4026532281]\nnet net:[4026531840]\npid pid:[4026531836]\nuser user:[4026531837]\n",
  attr: "vault (enforce)\n",
  exe: "64768:173521 /usr/bin/vault\n",
  stat: "412 (vault (x)) S 1 412 412 0 -1 4194560 99 0 0 0 1 2 0 0 20 0 4 0 123456 1000 200 18446744073709551615 4194304 4530176 140725 0 0 0\n",
  code: [
    `0 52000 64768:173521 ${"1".repeat(64)} ${"1".repeat(64)} ${"1".repeat(64)} 0/0 0/0 /usr/bin/vault`,
    `0 26000 64768:2131 ${"2".repeat(64)} ${"2".repeat(64)} - 0/0 - /usr/lib/libc.so.6`,
    "2 mappings",
    "",
  ].join("\n"),
  threads:
    "0000000000004000 0000000000004000 000000000000400f 1 2 3\n0000000000000000 0000000000000000 000000000000000f 1 2 4\n2 threads\n",
  "seccomp-filters": `12 ${"a".repeat(64)}\n4 ${"b".repeat(64)}\n2 filters\n`,
  bpf: "2 00112233445566aa 0 probe\n26 00112233445566bb 0 on_lock\n8 00112233445566cc 0 sd_fw_ingress\n3 programs\n",
  modules: "nf_tables 376832 12 - Live 0x0000000000000000\nloop 40960 0 - Live 0x0000000000000000 (O)\n",
  sysctl:
    "kernel.core_pattern = core\nkernel.modules_disabled = 1\nkernel.unprivileged_bpf_disabled = 2\nkernel.yama.ptrace_scope = 3\n",
  lsm: "lockdown,capability,apparmor,bpf\n",
  lockdown: "none [integrity] confidentiality\n",
  tainted: "4096\n",
  cmdline: "BOOT_IMAGE=/vmlinuz root=/dev/sda1 lockdown=integrity\n",
} satisfies Given;

const CLOCK = { clock: () => 1_795_000_000_000 };
const ALL = SUBSYSTEMS.map(({ name }) => name);
const BASELINE = snapshot(procfs.mock(TEXTS), { ...CLOCK, subsystems: ALL });

const anomalies = (checked: Checked): readonly Anomaly[] => (checked.ok ? [] : checked.anomalies);

function anomaliesOf(given: Given, baseline: Snapshot = BASELINE): readonly Anomaly[] {
  const checked = check(baseline, procfs.mock({ ...TEXTS, ...given }), CLOCK);
  return checked.ok ? [] : checked.anomalies;
}

const replaced = (text: keyof typeof TEXTS, from: string, to: string): Given => {
  assert.ok(TEXTS[text].includes(from), `${text} has no ${from}`);
  return { [text]: TEXTS[text].replace(from, to) };
};

test("every subsystem can be looked at, and is as it was", () => {
  assert.deepEqual(Object.keys(BASELINE.subsystems), ALL);
  // A process is not stopped unasked.
  assert.deepEqual(Object.keys(snapshot(procfs.mock(TEXTS), CLOCK).subsystems), subsystems);
  assert.deepEqual(ALL.filter((name) => !subsystems.includes(name)), ["seccomp-filters"]); // prettier-ignore
  for (const [name, { facts }] of Object.entries(BASELINE.subsystems)) assert.ok(facts !== undefined, name);
  assert.equal(BASELINE.takenAt, CLOCK.clock());
  const checked = check(BASELINE, procfs.mock(TEXTS), { clock: () => 7 });
  assert.deepEqual([checked.ok, checked.checkedAt], [true, 7]);
});

describe("quiet about what changes by itself", () => {
  const quiet: readonly (readonly [string, Given])[] = [
    ["the heap grows", replaced("maps", "00e24000", "00f24000")],
    ["memory of no file comes and goes", replaced("maps", "7f12a4000000-7f12a4021000 rw-p 00000000 00:00 0 \n", "")],
    ["a data file is mapped no more", replaced("maps", /.*data\.db\n/.exec(TEXTS.maps)?.[0] ?? "?", "")],
    ["it was laid out elsewhere", { maps: TEXTS.maps.replaceAll("7f12a9", "7f32a9") }],
    ["the kernel's own page for probes", { maps: `${TEXTS.maps}7fffffffe000-7ffffffff000 --xp 00000000 00:00 0                          [uprobes]\n` }],
    ["it sleeps, grows and switches", { status: TEXTS.status.replace("S (sleeping)", "R (running)").replace("5120", "9999").replace("\t150", "\t151") }],
    ["it acts for somebody else for a moment", replaced("status", "Uid:\t991\t991\t991\t991", "Uid:\t991\t1000\t991\t1000")],
    ["a module is used by more", replaced("modules", "376832 12", "376832 13")],
    ["a program of a cgroup comes, and one is loaded once more", { bpf: TEXTS.bpf.replace("3 programs", "15 00112233445566dd 0 sd_devices\n2 00112233445566aa 0 probe\n5 programs") }],
    ["a thread ends that may do less than others", { threads: `${TEXTS.threads.split("\n")[0]}\n1 threads\n` }],
    ["a module is being loaded", { modules: `${TEXTS.modules}fresh 4096 1 - Loading 0x0000000000000000\n` }],
  ]; // prettier-ignore
  for (const [name, given] of quiet) test(name, () => assert.deepEqual(anomaliesOf(given), []));
});

const VAULT = TEXTS.code.split("\n")[0] ?? "";

/** The line of vault with other digests and differences. */
function vaultCode(executed: string, cached: string, stored: string, memory: string, disk: string): Given {
  const digests = [executed, cached, stored].map((each) => each.repeat(each === "-" ? 1 : 64)).join(" ");
  return replaced("code", VAULT, `0 52000 64768:173521 ${digests} ${memory} ${disk} /usr/bin/vault`);
}

describe("code: fault or attack", () => {
  const cases: readonly (readonly [string, Given, RegExp, string | undefined])[] = [
    ["one bit of what is executed", vaultCode("9", "1", "1", "1/1", "0/0"), /copies of .*vault at 0 is 1 page differs from the page cache by 1 bit, which is new/, "one-bit fault in memory"],
    ["a detour", vaultCode("9", "1", "1", "1/19", "0/0"), /1 page differs from the page cache by 19 bits/, "patched in memory"],
    ["in two pages", vaultCode("9", "1", "-", "2/2", "-"), /2 pages differ/, "patched in memory"],
    ["the page cache alone", vaultCode("9", "9", "1", "0/0", "1/1"), /on disk is 1 page differs from the page cache by 1 bit, sha256 1{64}, which is new/, "corrupt page cache"],
    ["the disk, and the page cache is not told", vaultCode("1", "1", "9", "0/0", "3/40"), /on disk is 3 pages differ/, "file changed on disk"],
    ["every reading", vaultCode("9", "9", "9", "0/0", "0/0"), /vault at 0 was sha256 1{64}, is sha256 9{64}: file changed on disk/, "file changed on disk"],
    ["every reading, and the disk is not read", vaultCode("9", "9", "-", "0/0", "-"), /is sha256 9{64}/, "file changed on disk"],
    ["it cannot be read any more", vaultCode("-", "-", "-", "-", "-"), /is cannot be read/, undefined],
  ]; // prettier-ignore
  for (const [name, given, says, verdict] of cases)
    test(name, () => {
      const [found, ...others] = anomaliesOf(given);
      assert.ok(found !== undefined, "nothing is told");
      assert.deepEqual(others, []);
      assert.match(found.message, says);
      assert.deepEqual([...new Set(found.changes.map((change) => change.verdict))], [verdict]);
    });

  test("copies that were there before are no news, and one bit more is no fault", () => {
    const before = snapshot(procfs.mock({ ...TEXTS, ...vaultCode("8", "1", "1", "1/8", "0/0") }), CLOCK);
    assert.deepEqual(anomaliesOf(vaultCode("8", "1", "1", "1/8", "0/0"), before), []);
    const [more] = anomaliesOf(vaultCode("9", "1", "1", "1/9", "0/0"), before);
    assert.deepEqual(more?.changes.map(({ verdict }) => verdict), ["patched in memory", "patched in memory"]); // prettier-ignore
    const [back] = anomaliesOf({}, before);
    assert.deepEqual(back?.changes.map(({ verdict }) => verdict), ["patched in memory", undefined]); // prettier-ignore
  });

  test("a program that was replaced by a new file still runs its own; what is mapped anew is for others to tell", () => {
    assert.deepEqual(anomaliesOf(replaced("code", "/usr/bin/vault", "/usr/bin/vault (deleted)")), []);
    const late = `0 1000 64768:77 ${"3".repeat(64)} ${"3".repeat(64)} - 0/0 - /tmp/late.so\n3 mappings`;
    assert.deepEqual(anomaliesOf(replaced("code", "2 mappings", late)), []);
  });
});

describe("what is told, and what cannot be", () => {
  const told: readonly (readonly [string, Given, RegExp, RegExp?])[] = [
    ["a library appears", { maps: TEXTS.maps.replace("7ffd3c000000", "7f22aa000000-7f22aa001000 r-xp 00000000 fd:00 77                         /tmp/evil.so\n7ffd3c000000") }, /fd:00 77 at 0 is r-xp 1000 bytes of \/tmp\/evil\.so, which is new/],
    ["code becomes writable", replaced("maps", "00452000 r-xp", "00452000 rwxp"), /writable and executable was none, is there is some/],
    ["a library was replaced on disk", replaced("maps", "/usr/lib/libc.so.6\n7f12a9026", "/usr/lib/libc.so.6 (deleted)\n7f12a9026"), /\(deleted\)/],
    ["memory of no file becomes executable", replaced("maps", "7f12a4021000 rw-p", "7f12a4021000 r-xp"), /executable memory of no file was none/],
    ["a seccomp filter is gone", replaced("status", "Seccomp_filters:\t3", "Seccomp_filters:\t2"), /was 3, is 2/, /never taken off/],
    ["seccomp is off", replaced("status", "Seccomp:\t2", "Seccomp:\t0"), /Seccomp was 2, is 0/, /stays in the mode/],
    ["NoNewPrivs is cleared", replaced("status", "NoNewPrivs:\t1", "NoNewPrivs:\t0"), /NoNewPrivs was 1/, /never taken back/],
    ["one more filter", replaced("status", "Seccomp_filters:\t3", "Seccomp_filters:\t4"), /was 3, is 4/],
    ["a capability is back in the bounding set", replaced("status", "CapBnd:\t000000000000400f", "CapBnd:\t000000000000401f"), /CapBnd/, /bounding set/],
    ["a capability is effective and not permitted", replaced("status", "CapEff:\t0000000000004000", "CapEff:\t0000000000004001"), /CapEff was .*4000, is .*4001/, /not permitted/],
    ["a capability is ambient and not inheritable", replaced("status", "CapAmb:\t0000000000000000", "CapAmb:\t0000000000004000"), /CapAmb/, /inheritable/],
    ["it is root now", replaced("status", "Uid:\t991\t991", "Uid:\t0\t991"), /Uid, real and saved was 991 991, is 0 991/],
    ["it was moved to another cgroup", replaced("cgroup", "/system.slice/vault.service", "/"), /unified was \/system.slice\/vault.service, is \//],
    ["a limit of its cgroup is lifted", replaced("cgroup-limits", "1073741824", "max"), /memory.max was 1073741824, is max/],
    ["another mount namespace", replaced("ns", "mnt:[4026532281]", "mnt:[4026531841]"), /mnt was mnt:\[4026532281\]/],
    ["another pid namespace", replaced("ns", "pid:[4026531836]", "pid:[4026531999]"), /pid was/, /leaves its pid namespace/],
    ["it may dump core", replaced("limits", "Max core file size        0 ", "Max core file size        1 "), /Max core file size was 0 0, is 1 0/],
    ["a dump would hold more", replaced("coredump_filter", "33", "7f"), /coredump_filter was 00000033, is 0000007f/],
    ["it is confined no more", replaced("attr", "vault (enforce)", "unconfined"), /label was vault \(enforce\), is unconfined/],
    ["it runs another file, and was not executed anew", replaced("exe", "64768:173521 /usr/bin/vault", "64768:99 /tmp/x"), /file was/, /only after execve/],
    ["its file was renamed", replaced("exe", "/usr/bin/vault", "/usr/bin/vault (deleted)"), /\(deleted\)/],
    ["a module was loaded", { modules: `${TEXTS.modules}rootkit 16384 0 - Live 0x0000000000000000 (OE)\n` }, /rootkit is 16384 bytes \(OE\), which is new/],
    ["a module is gone", replaced("modules", "loop 40960 0 - Live 0x0000000000000000 (O)\n", ""), /loop is gone/],
    ["core_pattern", replaced("sysctl", "core_pattern = core", "core_pattern = |/tmp/x"), /core_pattern was core/],
    ["modules may be loaded again", replaced("sysctl", "modules_disabled = 1", "modules_disabled = 0"), /modules_disabled/, /never taken back/],
    ["ptrace is allowed again", replaced("sysctl", "ptrace_scope = 3", "ptrace_scope = 0"), /ptrace_scope/, /never taken back/],
    ["bpf for everybody, which root may say", replaced("sysctl", "bpf_disabled = 2", "bpf_disabled = 0"), /bpf_disabled was 2/],
    ["a security module is missing", replaced("lsm", ",apparmor", ""), /security modules/, /of the boot/],
    ["lockdown is lowered", { lockdown: "[none] integrity confidentiality\n" }, /lockdown was integrity, is none/, /only ever raised/],
    ["lockdown is raised", { lockdown: "none integrity [confidentiality]\n" }, /lockdown was integrity/],
    ["the kernel is tainted", replaced("tainted", "4096", "4097"), /taint was 4096, is 4097/],
    ["a taint is washed off", replaced("tainted", "4096", "0"), /taint/, /stays until the next boot/],
    ["a thread has no filter", replaced("threads", "1 2 4\n", "1 0 0\n"), /a thread without seccomp was none, is there is one; fewest filters of a thread was 3, is 0/],
    ["a thread may do more than the first", replaced("threads", "\n0000000000000000 ", "\n0000000000200000 "), /capabilities of any thread was 0000000000004000, is 0000000000204000/],
    ["a thread may take new privileges", replaced("threads", "1 2 4\n", "0 2 4\n"), /NoNewPrivs of every thread was 1, is 0/],
    ["an eBPF program is loaded", { bpf: TEXTS.bpf.replace("3 programs", "17 00112233445566dd 1000 spy\n4 programs") }, /raw_tracepoint spy 00112233445566dd is loaded by uid 1000, which is new/],
    ["an eBPF program is another under its name", replaced("bpf", "66bb", "66be"), /tracing on_lock/],
    ["a filter is added", { "seccomp-filters": TEXTS["seccomp-filters"].replace("2 filters", `1 ${"c".repeat(64)}\n3 filters`) }, /filter 3 is 1 instructions, sha256 c+, which is new/],
    ["a filter is another", replaced("seccomp-filters", "bbbb", "bbbc"), /filter 2 was 4 instructions/, /never changed/],
    ["another command line", replaced("cmdline", "lockdown=integrity", "lockdown=none"), /command line/, /of the boot/],
  ]; // prettier-ignore
  for (const [name, given, says, cannotBe] of told)
    test(name, () => {
      const [found, ...others] = anomaliesOf(given);
      assert.ok(found !== undefined, "nothing is told");
      assert.deepEqual(others, []);
      assert.match(found.message, says);
      const impossible = found.changes.flatMap((change) => change.impossible ?? []).join("; ");
      if (cannotBe === undefined) assert.equal(impossible, "");
      else assert.match(impossible, cannotBe);
      // The texts that differ are named, each with both digests.
      assert.ok(found.evidence.some(({ text, expected, actual }) => text in given && expected !== actual));
    });
});

test("of another life, or another boot, nothing is impossible", () => {
  const lives = (boot: string, startTime: number, given: Given) => ({
    ...procfs.mock({ ...TEXTS, ...given }),
    identity: () => ({ boot, process: { pid: 412, startTime } }),
  });
  const baseline = snapshot(lives("a", 1, {}), CLOCK);
  const given = { ...replaced("status", "NoNewPrivs:\t1", "NoNewPrivs:\t0"), ...replaced("tainted", "4096", "0") };
  const impossibleIn = (boot: string, startTime: number): number => {
    const checked = check(baseline, lives(boot, startTime, given), CLOCK);
    assert.ok(!checked.ok);
    assert.equal(checked.anomalies.length, 2);
    return checked.anomalies.flatMap(({ changes }) => changes.flatMap(({ impossible }) => impossible ?? [])).length;
  };
  assert.deepEqual([impossibleIn("a", 1), impossibleIn("a", 2), impossibleIn("b", 1)], [2, 1, 0]);
});

test("who makes a user namespace gets every capability there", () => {
  const given = {
    ...replaced("status", "CapBnd:\t000000000000400f", "CapBnd:\t000001ffffffffff"),
    ...replaced("ns", "user:[4026531837]", "user:[4026532999]"),
  };
  const impossible = anomaliesOf(given).flatMap(({ changes }) => changes.flatMap((change) => change.impossible ?? []));
  assert.deepEqual(impossible, []);
});

describe("damage", () => {
  const names = Object.keys(TEXTS) as (keyof typeof TEXTS)[];

  test("a NUL anywhere is none of the kernel's", () => {
    for (const name of names)
      for (let at = 0; at < TEXTS[name].length; at += 7) {
        const text = TEXTS[name];
        const found = anomaliesOf({ [name]: `${text.slice(0, at)}\0${text.slice(at + 1)}` });
        // What stands behind the first line of some, or in front of a bracket, is not read.
        if (name === "lockdown" || name === "lsm") continue;
        assert.ok(
          found.some(({ kind }) => kind === "malformed"),
          `${name} at ${at}`,
        );
      }
  });

  test("a text that was cut is told at every length", () => {
    for (const name of names) {
      // How a cut line of these ends cannot be told from a shorter one; the cut itself can.
      for (let length = 0; length < TEXTS[name].length; length++) {
        if (name === "lockdown" && length > TEXTS.lockdown.indexOf("]")) continue;
        if (name === "lsm" && length === TEXTS.lsm.length - 1) continue;
        // Nothing is missing but a line that is not read.
        if (TEXTS[name].slice(length) === "voluntary_ctxt_switches:\t150\n") continue;
        assert.notDeepEqual(anomaliesOf({ [name]: TEXTS[name].slice(0, length) }), [], `${name} cut to ${length}`);
      }
    }
  });

  test("every bit of every value that is decided on", () => {
    // Of each line that a subsystem reads, the whole of what stands behind its name.
    const values: readonly (readonly [keyof typeof TEXTS, string])[] = [
      ...["1\nSeccomp:", "2\nSeccomp_f", "3\nSpec", "0000000000004000\nCapEff", "000000000000400f"].map(
        (value) => ["status", value.split("\n")[0] ?? ""] as const,
      ),
      ["cgroup", "/system.slice/vault.service"],
      ["cgroup-limits", "1073741824"],
      ["code", "1".repeat(64)],
      ["code", "0/0 0/0"],
      ["ns", "mnt:[4026532281]"],
      ["attr", "vault (enforce)"],
      ["exe", "64768:173521 /usr/bin/vault"],
      ["modules", "nf_tables 376832"],
      ["sysctl", "core"],
      ["lsm", "lockdown,capability,apparmor,bpf"],
      ["tainted", "4096"],
      ["cmdline", "root=/dev/sda1"],
      ["bpf", "00112233445566aa"],
      ["seccomp-filters", "a".repeat(64)],
      ["coredump_filter", "00000033"],
    ];
    for (const [name, value] of values) {
      const text = Buffer.from(TEXTS[name]);
      const from = name === "status" ? TEXTS[name].lastIndexOf(`\t${value}\n`) + 1 : TEXTS[name].indexOf(value);
      for (let bit = 0; bit < value.length * 8; bit++) {
        const flipped = Buffer.from(text);
        flipped[from + (bit >> 3)] = (flipped[from + (bit >> 3)] ?? 0) ^ (1 << (bit & 7));
        const checked = check(BASELINE, procfs.mock({ ...TEXTS, [name]: flipped }), CLOCK);
        assert.ok(!checked.ok, `${name}: ${JSON.stringify(flipped.toString("latin1"))}`);
      }
    }
  });

  test("whatever is in the texts, it is looked at without failing, and differs where a fact does", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        fc.option(fc.nat(), { nil: undefined }),
        (name, changes, cut) => {
          const bytes = Buffer.from(TEXTS[name]);
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          const text = cut === undefined ? bytes : bytes.subarray(0, cut % (bytes.length + 1));
          const source = procfs.mock({ ...TEXTS, [name]: text });
          const checked = check(BASELINE, source, CLOCK);
          const taken = snapshot(source, { ...CLOCK, subsystems: ALL });
          // What is mapped anew, or no more, is told by memory-maps and not by code.
          const read = Object.entries(BASELINE.subsystems).filter(([each]) => each !== "code" || name !== "code");
          const same = read.every(
            ([each, { facts }]) => JSON.stringify(taken.subsystems[each]?.facts) === JSON.stringify(facts),
          );
          if (name !== "code" || !same) assert.equal(checked.ok, same);
        },
      ),
      { numRuns: 1_000, examples: [["maps", [[1_606_314_244, 14]], undefined]] },
    );
  });

  test("a text that is gone", () => {
    const { maps: _, ...others } = TEXTS;
    const checked = check(BASELINE, procfs.mock(others), CLOCK);
    assert.ok(!checked.ok);
    assert.deepEqual(
      checked.anomalies.map(({ subsystem, kind, message }) => [subsystem, kind, message]),
      [["memory-maps", "gone", "memory-maps cannot be looked at any more: no maps"]],
    );
  });
});

test("a subsystem alone, and all together", () => {
  const tampered: Given = {};
  for (const { name, texts } of SUBSYSTEMS) {
    const [text] = texts;
    assert.ok(text !== undefined);
    const found = anomaliesOf({ [text]: "\0" }).map(({ subsystem }) => subsystem);
    assert.ok(found.includes(name), name);
    const only = snapshot(procfs.mock(TEXTS), { ...CLOCK, subsystems: [name] });
    assert.deepEqual(Object.keys(only.subsystems), [name]);
    assert.deepEqual(anomaliesOf({ [text]: "\0" }, only).map(({ subsystem }) => subsystem), [name]); // prettier-ignore
    tampered[text] = "\0";
  }
  assert.deepEqual(
    anomaliesOf(tampered).map(({ subsystem }) => subsystem),
    ALL,
  );
});

test("one that differs is Log, two Degrade, three and more Safe_mode", () => {
  const anomaly = anomaliesOf(replaced("tainted", "4096", "0"))[0];
  assert.ok(anomaly !== undefined);
  assert.deepEqual(
    [1, 2, 3, 7].map((count) => defaultHandler(Array.from({ length: count }, () => anomaly))),
    ["Log", "Degrade", "Safe_mode", "Safe_mode"],
  );
});

test("a reading that is wrong once is no anomaly", () => {
  for (const wrong of [1, 2]) {
    let readings = 0;
    const source = {
      read: (name: TextName) =>
        Buffer.from(name === "tainted" && ++readings <= wrong ? "4097\n" : (TEXTS[name as keyof typeof TEXTS] ?? "")),
    };
    assert.equal(check(BASELINE, source, CLOCK).ok, true, `${wrong} wrong readings`);
  }
});

test("the daemon checks until its signal comes, and tells what the handler says", async () => {
  const stopping = new AbortController();
  const said: string[] = [];
  const daemon = startDaemon({
    procfs: procfs.mock({ ...TEXTS, ...replaced("tainted", "4096", "0"), ...replaced("cgroup", "vault", "x") }),
    baseline: BASELINE,
    interval: 1,
    signal: stopping.signal,
    onAnomaly: (anomalies) => (anomalies.length === 2 ? "Isolate" : "Log"),
    onSeverity(severity) {
      said.push(severity);
      if (said.length === 3) stopping.abort();
    },
  });
  // Its timer keeps no process alive.
  const alive = setInterval(() => {}, 1_000);
  await daemon;
  clearInterval(alive);
  assert.deepEqual(said, ["Isolate", "Isolate", "Isolate"]);
  await startDaemon({ procfs: procfs.live(), baseline: BASELINE, signal: stopping.signal });
  assert.throws(() => snapshot(procfs.live(), { subsystems: ["nothing"] }), /there is no subsystem "nothing"/);
  await assert.rejects(startDaemon({ procfs: procfs.live(), baseline: BASELINE, interval: 0 }), /at least 1 ms/);
});

function startBusy(t: TestContext): ChildProcess {
  const child = spawn(
    process.execPath,
    [
      "-e",
      `const kept = []; let n = 0;
       setInterval(() => { kept.push(Buffer.alloc(1e6, 1), "x".repeat(1e5) + n++); if (kept.length > 60) kept.length = 0; eval("(" + ((a) => a * 2) + ")(" + n + ")"); }, 5);
       process.stdin.on("data", () => { process.dlopen({ exports: {} }, process.env.LATE); console.log("loaded"); });
       console.log("up");`,
    ],
    { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, LATE: late } },
  );
  t.after(() => void child.kill("SIGKILL"));
  return child;
}

const late = requireAddon().path;

test("a busy process is as it was; a library that comes late and a limit that is raised are told", async (t) => {
  const child = startBusy(t);
  assert.ok(child.stdout !== null && child.stdin !== null && child.pid !== undefined);
  await once(child.stdout, "data");
  await new Promise((resolve) => setTimeout(resolve, 500));
  const source = procfs.live(child.pid);
  const process = { subsystems: SUBSYSTEMS.filter((each) => each.of === "process").map(({ name }) => name) };
  const baseline = snapshot(source, process);
  const blind = Object.entries(baseline.subsystems).filter(([, { facts }]) => facts === undefined);
  // Without a security module there is no label.
  assert.deepEqual(blind.map(([name]) => name).filter((name) => name !== "lsm-label"), []); // prettier-ignore
  for (let round = 0; round < 20; round++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const checked = check(baseline, source);
    assert.ok(checked.ok, JSON.stringify(checked));
  }
  const raw = readFileSync(`/proc/${child.pid}/status`, "utf8");
  assert.ok(raw.includes("NoNewPrivs"));

  child.stdin.write("now\n");
  await once(child.stdout, "data");
  const changed = check(baseline, source);
  assert.ok(!changed.ok);
  assert.deepEqual(changed.anomalies.map(({ subsystem }) => subsystem), ["memory-maps"]); // prettier-ignore
  assert.ok(changed.anomalies[0]?.message.includes(` bytes of ${late}, which is new`), changed.anomalies[0]?.message);

  const prlimit = spawn("prlimit", ["--pid", String(child.pid), "--nproc=77:77"], { stdio: "inherit" });
  assert.deepEqual(await once(prlimit, "exit"), [0, null]);
  const raised = check(baseline, source, { subsystems: ["limits"] });
  assert.ok(!raised.ok);
  assert.match(raised.anomalies[0]?.message ?? "", /Max processes was .*, is 77 77/);
});

test("the kernel of this node is as it was a moment ago", () => {
  const names = { subsystems: SUBSYSTEMS.filter((each) => each.of === "kernel").map(({ name }) => name) };
  const baseline = snapshot(procfs.live(), names);
  assert.equal(check(baseline, procfs.live()).ok, true);
});

test("the filters of a process, which is stopped for a moment and goes on", async (t) => {
  const child = new Child(compile("filtered"), []);
  t.after(() => child.kill("SIGKILL"));
  await child.takeLine(20_000);
  const named = { subsystems: ["seccomp-filters"] };
  const baseline = snapshot(procfs.live(child.pid), named);
  assert.match(
    JSON.stringify(baseline.subsystems["seccomp-filters"]?.facts),
    /^\{"filter 1":"4 instructions, sha256 [0-9a-f]{64}"\}$/,
  );
  assert.ok(check(baseline, procfs.live(child.pid)).ok);
  child.send("another");
  await child.takeLine(20_000);
  const [anomaly] = anomalies(check(baseline, procfs.live(child.pid)));
  assert.match(anomaly?.message ?? "", /^seccomp-filters: filter 2 is 4 instructions, .*, which is new$/);
  assert.match(readFileSync(`/proc/${child.pid}/status`, "utf8"), /^TracerPid:\t0$/m);
  // Nobody is there, and who has none.
  assert.equal(snapshot(procfs.live(4_194_303), named).subsystems["seccomp-filters"]?.facts, undefined);
  const none = new Child("sleep", ["1000"]);
  t.after(() => none.kill("SIGKILL"));
  assert.deepEqual(snapshot(procfs.live(none.pid), named).subsystems["seccomp-filters"]?.facts, {});
});

test("an eBPF program that somebody loads", async (t) => {
  const named = { subsystems: ["bpf-programs"] };
  const baseline = snapshot(procfs.live(), named);
  // It looks for tracepoints in tracefs, which need not be mounted; in a mount namespace of its own nobody else sees it.
  const program = 'tracepoint:sched:sched_process_exit { @[comm] = count(); } BEGIN { printf("up\\n"); }';
  const mounted = `[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing || exit 1; exec bpftrace -e "$0"`;
  const trace = new Child("unshare", ["-m", "sh", "-c", mounted, program]);
  t.after(() => trace.kill("SIGKILL"));
  await trace.lines.waitFor((line) => line === "up", 60_000);
  const [anomaly] = anomalies(check(baseline, procfs.live()));
  assert.match(anomaly?.message ?? "", /tracepoint \S+ [0-9a-f]{16} is loaded by uid 0, which is new/);
});

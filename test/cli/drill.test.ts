// rimon drill as a user runs it, as root: every technique against real decoys.

import assert from "node:assert/strict";
import { chmodSync, chownSync, readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { DrillLatency, DrillResult } from "../../src/drill/drill.ts";
import { TECHNIQUES } from "../../src/drill/techniques/all.ts";
import { filesLeft, processesNaming, waitUntilGone } from "../drill/leftovers.ts";
import { startProgram, type Child, type ChildOptions } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const DEADLINE_MS = 120_000;
const NOBODY = 65_534;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Without these no eBPF program can be loaded. */
const NO_EBPF = ["bpf", "perfmon", "sys_admin"];

function startDrill(
  folder: string,
  args: readonly string[],
  { uid, without = [] }: Pick<ChildOptions, "uid" | "without"> = {},
): Child {
  if (uid !== undefined) {
    chownSync(folder, uid, uid);
    chmodSync(folder, 0o700);
  }
  const env = { TMPDIR: folder, HOME: folder };
  return startProgram(main, ["drill", ...args], { env, without, ...(uid === undefined ? {} : { uid, gid: uid }) });
}

function corePattern(): string {
  return readFileSync("/proc/sys/kernel/core_pattern", "utf8");
}

/** Those that are called after something in the folder, as that of a drill is. */
function cgroupsOf(names: readonly string[]): string[] {
  const mounted = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(readFileSync("/proc/self/mountinfo", "utf8"))?.[1];
  return mounted === undefined ? [] : readdirSync(mounted).filter((name) => names.includes(name));
}

function resultsOf({ lines }: Child): Map<string, DrillResult> {
  const results = lines.items.slice(0, -1).map((line) => JSON.parse(line) as DrillResult);
  return new Map(results.map((result) => [result.technique, result]));
}

/** The last line. */
function latencyOf({ lines }: Child): DrillLatency | null {
  const { summary } = JSON.parse(lines.items.at(-1) ?? "") as { summary: { latency: DrillLatency | null } };
  return summary.latency;
}

/** By which sensors each may be seen, and how much comes out. */
const SEEN: Readonly<Record<string, readonly [sensors: readonly string[], leaked: number]>> = {
  "ptrace-held": [["process-table"], 0],
  "proc-mem-held": [["descriptors", "fanotify"], 32],
  "uprobe-held": [["uprobes"], 0],
  "writable-code-held": [["address-space"], 0],
  "ptrace-peek-after-seize": [["process-table", "mmap-lock"], 32],
  "ptrace-attach": [["proc-connector", "process-table", "calls"], 32],
  "ptrace-seize": [["proc-connector", "process-table", "calls"], 32],
  "ptrace-thread": [["proc-connector", "process-table", "calls"], 32],
  "ptrace-getregs": [["proc-connector", "process-table", "calls"], 0],
  "criu-like-seize": [["proc-connector", "process-table", "calls"], 0],
  "text-patch-ptrace": [["proc-connector", "process-table", "calls"], 0],
  "proc-mem": [["fanotify", "mmap-lock"], 32],
  "proc-task-mem": [["fanotify", "mmap-lock"], 32],
  "proc-mem-relative": [["fanotify", "mmap-lock"], 32],
  "proc-mem-other-mount": [["fanotify", "mmap-lock"], 32],
  "proc-mem-detached-mount": [["mmap-lock"], 32],
  "proc-mem-passed-fd": [["fanotify", "mmap-lock"], 32],
  "proc-mem-io-uring": [["fanotify", "mmap-lock"], 32],
  "proc-mem-write": [["fanotify", "mmap-lock"], 0],
  "text-patch": [["fanotify", "mmap-lock"], 0],
  "code-breakpoint": [["code-pages"], 0],
  "process-vm-readv": [["mmap-lock", "calls"], 32],
  "process-vm-readv-int80": [["mmap-lock", "calls"], 32],
  "process-vm-writev": [["mmap-lock", "calls"], 0],
  "process-madvise": [["mmap-lock", "calls"], 0],
  "pidfd-getfd": [["calls"], 32],
  "pidfd-getfd-socket": [["calls"], 32],
  kcmp: [["calls"], 0],
  "perf-sample-stack": [["calls"], 32],
  "uprobe-crypto": [["calls", "mmap-lock"], 0],
  "bpf-copy-from-user-task": [["mmap-lock"], 32],
  "proc-kcore-open": [["ptrace-access", "fanotify"], 0],
  "dev-mem-open": [["ptrace-access"], 0],
  "dev-mem-other-node": [["ptrace-access"], 0],
  "environ-read": [["fanotify", "mmap-lock"], 32],
  "maps-read": [["fanotify", "mmap-lock"], 0],
  "map-files": [["fanotify", "mmap-lock"], 0],
  "smaps-read": [["fanotify", "mmap-lock"], 0],
  "pagemap-read": [["fanotify", "mmap-lock"], 0],
  "auxv-read": [["fanotify"], 0],
  "debugger-renamed": [["executables", "exec", "proc-connector", "process-table"], 0],
  gcore: [["exec", "proc-connector", "process-table", "executables"], 32],
  "node-sigusr1": [["signals"], 32],
  "node-inspect": [["exec", "proc-connector", "process-table"], 32],
  "memfd-exec": [["exec"], 0],
  "deleted-exec": [["exec"], 0],
  "upper-layer-exec": [["exec"], 0],
  "abort-core": [["proc-connector"], 0],
  "sigquit-core": [["proc-connector"], 0],
  "core-pattern-write": [["fanotify", "settings"], 0],
  "core-pipe-handler": [["fanotify", "settings"], 32],
  "coredump-filter-write": [["fanotify"], 0],
  "ld-preload": [["exec", "posture"], 0],
  "ld-preload-erased": [["exec"], 0],
  "ld-audit": [["exec", "posture"], 0],
  "ld-so-preload": [["address-space"], 0],
  "dlopen-dev-shm": [["address-space"], 0],
  "own-file-mode": [["own-files"], 0],
  "prlimit-core": [["calls", "posture"], 0],
  "prctl-dumpable": [["calls", "posture"], 0],
  "late-library": [["address-space"], 0],
  "writable-code": [["address-space"], 0],
  "file-written-before": [["files"], 0],
  "file-written": [["file-events"], 0],
  "file-swapped": [["file-events"], 0],
  "exec-unknown": [["exec-gate"], 0],
  "prlimit-memlock": [["snapshots"], 0],
  "cgroup-moved": [["snapshots"], 0],
};

/** The sensors that are eBPF programs. */
const PROGRAMS: readonly string[] = ["exec", "mmap-lock", "ptrace-access", "calls", "signals"];

/** What a kernel may lack, and how it is then told. */
const LACKING: Readonly<Record<string, RegExp>> = {
  "proc-mem-io-uring": /io_uring/,
  "process-vm-readv-int80": /int (?:\$)?0x80/,
  "process-madvise": /process_madvise.* ENOSYS/,
  "pidfd-getfd": /pidfd_getfd.* ENOSYS/,
  "pidfd-getfd-socket": /pidfd_getfd.* ENOSYS/,
  kcmp: /kcmp.* ENOSYS/,
  "perf-sample-stack": /no perf events/,
  "uprobe-held": /no uprobes/,
  "uprobe-crypto": /no uprobes/,
  "bpf-copy-from-user-task": /no BTF|bpf_copy_from_user_task.* ENOSYS/,
  "upper-layer-exec": /no overlay file system/,
  "proc-kcore-open": /CONFIG_PROC_KCORE/,
  "dev-mem-open": /CONFIG_DEVMEM/,
  "dev-mem-other-node": /CONFIG_DEVMEM/,
  "ld-so-preload": /noexec|only glibc/,
  "dlopen-dev-shm": /noexec/,
  "cgroup-moved": /cgroup v2/,
};

// Each has a folder and decoys of its own, and waits more than it works.
describe("rimon drill", { concurrency: 3 }, () => {
  it("what today's sensors can see is seen, what they cannot is said, and nothing is left", async () => {
    const folder = temporaryDirectory("drill");
    const pattern = corePattern();
    const drill = startDrill(folder, ["--json"]);
    const { code } = await drill.exited;
    const results = resultsOf(drill);
    assert.deepEqual([...results.keys()], Object.keys(SEEN), drill.stderr);

    for (const [technique, expected] of Object.entries(SEEN)) {
      const result = results.get(technique);
      assert.ok(result !== undefined);
      const shown = JSON.stringify(result);
      const [sensors, leaked] = expected;
      const lacking = LACKING[technique];
      if (result.outcome === "not-run" && lacking !== undefined) {
        assert.match(result.reason ?? "", lacking);
        continue;
      }
      assert.equal(result.leakedBytes, leaked, shown);
      const { anonymous, namedBy, rules, early, knows } =
        TECHNIQUES.find(({ name }) => name === technique) ?? assert.fail(technique);
      // eBPF is not to be had everywhere; that is told, too.
      if (result.outcome === "blind" && sensors.every((name) => result.reason?.includes(`${name} is unavailable`))) {
        assert.deepEqual(
          sensors.filter((name) => !PROGRAMS.includes(name)),
          [],
          shown,
        );
        continue;
      }
      assert.ok(sensors.includes(result.sensor ?? ""), shown);
      const unnamed = anonymous === true || (anonymous === "sometimes" && result.suspect === null);
      const named = unnamed || (namedBy !== undefined && result.attributed === null) ? null : true;
      assert.equal(result.attributed, named, shown);
      assert.ok(rules.includes(result.rule ?? ""), shown);
      // What began before the monitor was found as that started, which is no time since an act; what is looked for at an
      // interval was found by that.
      const atInterval = early !== true && knows === "snapshots";
      assert.equal(result.latencyMs === null, early === true || atInterval, shown);
      assert.equal(result.afterActMs !== undefined, atInterval, shown);
      assert.ok((result.latencyMs ?? result.afterStartMs ?? result.afterActMs ?? -1) >= 0, shown);
      assert.ok(result.severity !== null, shown);
    }
    const timed = [...results.values()].flatMap(({ latencyMs }) => latencyMs ?? []);
    const latency = latencyOf(drill);
    assert.ok(latency !== null && latency.p50Ms <= latency.p99Ms);
    assert.equal(latency.techniques, timed.length);
    assert.ok(timed.includes(latency.p50Ms) && timed.includes(latency.p99Ms));
    assert.equal(code, 0);
    assert.equal(corePattern(), pattern);
    assert.equal(drill.stderr, "");
    assert.deepEqual(filesLeft(folder), []);
    assert.deepEqual(processesNaming(folder), []);
  });

  it("--enforce stops who reads or writes a decoy's memory, and not a byte is in what it shared with us", async () => {
    const toBeStopped = TECHNIQUES.filter((technique) => technique.stopped === true);
    const stopped = toBeStopped.map(({ name }) => name);
    assert.ok(stopped.length > 15);
    const folder = temporaryDirectory("drill");
    const drill = startDrill(folder, ["--json", "--enforce"]);
    await drill.takeLine(DEADLINE_MS);
    const made = readdirSync(folder);
    const { code } = await drill.exited;
    const results = resultsOf(drill);
    for (const { name: technique, stoppedBy } of toBeStopped) {
      const result = results.get(technique) ?? assert.fail(technique);
      const shown = JSON.stringify(result);
      const lacking = LACKING[technique];
      if (result.outcome === "not-run" && lacking !== undefined) continue;
      // Where what would stop it is not to be had, it is not said to be stopped.
      if (stoppedBy !== undefined && result.enforced === undefined) continue;
      assert.equal(result.outcome, "stopped", shown);
      assert.deepEqual([result.leakedBytes, result.enforced, result.attributed], [0, true, true], shown);
      assert.ok(result.latencyMs !== null && result.latencyMs >= 0, shown);
    }
    for (const result of results.values()) assert.notEqual(result.outcome, "missed", JSON.stringify(result));
    const other = results.get("maps-read");
    assert.equal(other?.outcome, "seen");
    assert.equal(other?.enforced, undefined);
    assert.equal(code, 0, drill.stderr);
    assert.ok(made.length > 0);
    assert.deepEqual(cgroupsOf(made), []);
    assert.deepEqual(filesLeft(folder), []);
    assert.deepEqual(processesNaming(folder), []);
  });

  it("--list names them and runs none", async () => {
    const drill = startDrill(temporaryDirectory("drill"), ["--list"]);
    assert.deepEqual(await drill.exited, { code: 0, signal: null });
    const names = drill.lines.items.map((line) => /^\S+/.exec(line)?.[0]);
    assert.deepEqual(names, Object.keys(SEEN));
  });

  it("the table names what was not seen and why", async () => {
    const folder = temporaryDirectory("drill");
    const drill = startDrill(folder, ["--only", "ptrace-thread,process-vm-readv"], { without: NO_EBPF });
    assert.deepEqual(await drill.exited, { code: 0, signal: null });
    const text = drill.lines.items.join("\n");
    assert.match(text, /^technique .*sensor .*leaked$/m);
    assert.match(text, /^ptrace-thread +✔ +\S+ +[\d.]+ ms +rimon-attacker \(\d+\) +32 bytes$/m);
    assert.match(text, /^process-vm-readv +✘ +32 bytes$/m);
    assert.match(
      text,
      /^1 of 2 techniques seen\nfrom the act to the finding: p50 [\d.]+ ms, p99 [\d.]+ ms over 1 technique\nnot seen: process-vm-readv \(no sensor sees them without eBPF\)$/m,
    );
  });

  it("an unknown technique is a usage error", async () => {
    const drill = startDrill(temporaryDirectory("drill"), ["--only", "telepathy"]);
    assert.equal((await drill.exited).code, 2);
    assert.match(drill.stderr, /there is no technique "telepathy"/);
  });

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    it(`${signal} ends the drill and everything it started`, async () => {
      const folder = temporaryDirectory("drill");
      const drill = startDrill(folder, ["--json"]);
      await drill.takeLine(DEADLINE_MS);
      assert.ok(processesNaming(folder).length > 1);
      assert.equal((await drill.stop(signal)).code, code);
      assert.deepEqual(filesLeft(folder), []);
      assert.deepEqual(processesNaming(folder), []);
    });
  }

  it("killed outright, it leaves no process behind", async () => {
    const folder = temporaryDirectory("drill");
    const pattern = corePattern();
    const drill = startDrill(folder, ["--json"]);
    await drill.takeLine(DEADLINE_MS);
    await drill.stop("SIGKILL");
    await waitUntilGone(folder, DEADLINE_MS);
    assert.equal(corePattern(), pattern);
  });

  it("an ordinary user learns what cannot be seen, and for want of what", async () => {
    const folder = temporaryDirectory("drill");
    const drill = startDrill(
      folder,
      ["--json", "--only", "proc-mem", "--only", "core-pattern-write", "--only", "ld-preload"],
      { uid: NOBODY },
    );
    const { code } = await drill.exited;
    const results = resultsOf(drill);
    assert.equal(code, 0, drill.stderr);
    assert.equal(results.get("proc-mem")?.outcome, "blind");
    assert.match(results.get("proc-mem")?.reason ?? "", /fanotify is unavailable .*CAP_SYS_ADMIN/);
    assert.equal(results.get("core-pattern-write")?.outcome, "refused");
    assert.equal(results.get("ld-preload")?.detected, true);
    assert.deepEqual(filesLeft(folder), []);
  });
});

// Uprobes by the tools people really use: bpftrace and perf, on a function of a crypto library.

import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Finding } from "../../src/finding.ts";
import { Child } from "../fixtures/child.ts";
import { functionIn, untilChanged, type MappedFunction } from "../fixtures/code.ts";
import { isLive, startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { DEADLINE_MS, expectFinding, identityOf, type Suspect } from "./expected.ts";

const NAME = "probe-victim";
const LIBCRYPTO = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/libcrypto.so.3`;
/** The tools compile, or read a file's symbols, first. */
const SET_UP_MS = 60_000;

const folder = temporaryDirectory("uprobes");
/** A file of its own, so that a probe on it is in nobody else's code. */
const library = join(folder, "libcrypto.so.3");
let target: Target;
let place: MappedFunction;
let rimon: Monitor;
let namesWhoSets: boolean;

before(async () => {
  copyFileSync(LIBCRYPTO, library);
  target = await spawnTarget({ name: NAME });
  await target.command(`dlopen ${library}`);
  place = functionIn(target.pid, library, "EVP_DecryptUpdate");
  rimon = startRimon({ args: ["--protect", `pid:${target.pid}`] });
  namesWhoSets = isLive(await rimon.ready, "mmap-lock");
});
after(async () => {
  await target.stop();
  await rimon.stop();
});

/** By the kernel's word as it is set, where that is to be had, and by what the kernel then tells of it. */
async function probedBy(suspect: Suspect, holder: Suspect | undefined, says: string): Promise<void> {
  const expected = {
    rule: "uprobe-set",
    severity: "critical",
    technique: "uprobe",
    operation: "probe",
    target: identityOf(target.pid),
  } as const;
  if (namesWhoSets) await expectFinding(rimon, { ...expected, suspect });
  const isHeld = ({ sensor, suspect: by, message }: Finding): boolean =>
    sensor === "uprobes" && by?.pid === holder?.pid && message.includes("EVP_DecryptUpdate");
  const { message } = await rimon.waitForFinding("uprobe-set", DEADLINE_MS, isHeld);
  assert.ok(message.startsWith(says), message);
  // perf takes the place in the procedure linkage table for another of that name.
  assert.match(message, / on (?:\.plt\S* )?EVP_DecryptUpdate\+0x0 in \S+\/libcrypto\.so\.3, code of probe-victim /);
}

test("bpftrace", async () => {
  const bpftrace = new Child("bpftrace", [
    "-e",
    `uprobe:${library}:EVP_DecryptUpdate { printf("%r", buf(arg3, 32)); }`,
  ]);
  const suspect = { pid: bpftrace.pid, comm: "bpftrace", exe: "/usr/bin/bpftrace" };
  await untilChanged(target.pid, place, SET_UP_MS);
  await probedBy(suspect, suspect, `bpftrace (${bpftrace.pid}, root) holds `);
  const present = await rimon.waitForFinding("debugger-present", DEADLINE_MS, (f) => f.suspect?.pid === bpftrace.pid);
  assert.equal(present.severity, "high");
  await bpftrace.stop("SIGTERM");
});

test("perf probe, and perf record of it: by an event of tracefs, which is all the kernel tells", async () => {
  // In a mount namespace of its own, since perf wants tracefs where it always is. The events end with the input.
  const script = `
[ -e /sys/kernel/tracing/uprobe_events ] || mount -t tracefs tracefs /sys/kernel/tracing || exit 1
trap "perf probe --quiet --del '*:rimon_test*'" EXIT
perf probe --quiet --exec ${library} rimon_test=EVP_DecryptUpdate && echo defined || exit 1
read -r go
perf record --quiet --event 'probe_libcrypto:rimon_test*' --output ${join(folder, "perf.data")} --pid ${target.pid} -- cat`;
  const shell = new Child("unshare", ["--mount", "--", "sh", "-c", script], { lastSignal: "SIGTERM" });
  assert.equal(await shell.takeLine(SET_UP_MS), "defined", shell.stderr);
  shell.send("go");
  await untilChanged(target.pid, place, SET_UP_MS);
  await probedBy(
    { comm: "perf", exe: "/usr/bin/perf" },
    undefined,
    "The event probe_libcrypto/rimon_test of tracefs is ",
  );
  shell.closeInput();
  assert.equal((await shell.exited).code, 0, shell.stderr);
});

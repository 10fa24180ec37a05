// The drill's monitor is a process of its own: how it ends, and what its end does to the drill.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { runDrill } from "../../src/drill/drill.ts";
import { startLookout, type LookoutOptions } from "../../src/drill/lookouts.ts";
import { Program } from "../../src/drill/program.ts";
import { startProgram } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { filesLeft, processesNaming, waitUntilGone } from "./leftovers.ts";

const DEADLINE_MS = 60_000;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const folder = temporaryDirectory("lookout");
const before = process.env["TMPDIR"];
process.env["TMPDIR"] = folder;
after(() => {
  if (before === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = before;
});

/** The monitors that are children of this process. */
function lookoutsOf(parent: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const parentPid = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
        return Number(parentPid) === parent && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("drill/lookout");
      } catch {
        return false;
      }
    });
}

function nothingIsLeft(): void {
  assert.deepEqual(lookoutsOf(process.pid), []);
  assert.deepEqual(processesNaming(folder), []);
  assert.deepEqual(filesLeft(folder), []);
}

/** One whose messages are kept. */
function watching(options: Partial<LookoutOptions> = {}) {
  const lost: Error[] = [];
  const lookout = startLookout({
    folder: join(folder, "state"),
    decoys: "no-decoy-at-all",
    enforce: false,
    drill: process.pid,
    known: { snapshots: false },
    onSighting: () => {},
    onLost: (reason) => lost.push(reason),
    ...options,
  });
  return { lookout, lost };
}

test("a monitor that dies while the drill runs ends the drill with that, and nothing is left", async () => {
  for (const begun of ["starting the sensors", "1 of 1"]) {
    const running = runDrill({
      only: ["proc-mem"],
      onProgress(doing) {
        // The sensors are told of right before the process is started.
        if (doing.startsWith(begun))
          setImmediate(() => lookoutsOf(process.pid).forEach((pid) => process.kill(pid, "SIGKILL")));
      },
    });
    await assert.rejects(running, { message: "the drill's monitor is gone: node ended with SIGKILL" });
    nothingIsLeft();
  }
});

test("what a terminal sends to everybody in its foreground does not end it before the drill", async () => {
  const told: number[] = [];
  const { results } = await runDrill({
    only: ["proc-mem"],
    onProgress(doing) {
      if (!doing.startsWith("1 of 1")) return;
      for (const pid of lookoutsOf(process.pid))
        for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"] as const) told.push(Number(process.kill(pid, signal)));
    },
  });
  assert.deepEqual(told, [1, 1, 1]);
  assert.equal(results[0]?.outcome, "seen", results[0]?.reason);
  nothingIsLeft();
});

test("a drill that is killed while its sensors start leaves no process", async () => {
  const own = join(folder, "killed");
  mkdirSync(own);
  const drill = startProgram(main, ["drill", "--json", "--only", "proc-mem"], { env: { TMPDIR: own, HOME: own } });
  const deadline = Date.now() + DEADLINE_MS;
  while (lookoutsOf(drill.pid).length === 0) {
    assert.ok(Date.now() < deadline, `expected a monitor to be started; ${drill.stderr}`);
    await sleep(1);
  }
  await drill.stop("SIGKILL");
  await waitUntilGone(own, DEADLINE_MS);
});

test("why it could not start is told with its code", async () => {
  const { lookout, lost } = watching({ folder: "/dev/null/state" });
  const deadline = Date.now() + DEADLINE_MS;
  while (lost.length === 0 && Date.now() < deadline) await sleep(5);
  assert.equal(lost.length, 1);
  assert.equal((lost[0] as Error & { code?: string }).code, "RIMON_AUDIT");
  assert.match(lost[0]?.message ?? "", /\/dev\/null\/state/);
  await lookout.stop();
  assert.equal(lost.length, 1);
  nothingIsLeft();
});

test("it is asked, told to stop, and ends", async () => {
  const { lookout, lost } = watching();
  const startedAt = await lookout.ready;
  assert.ok(startedAt > 0n && startedAt < process.hrtime.bigint());
  assert.ok(lookout.sensors().some(({ name, state }) => name === "process-table" && state === "live"));
  // Nobody protects this process.
  assert.equal(await lookout.ask({ pid: process.pid, settled: false, snapshot: false }), "not-seen");
  await lookout.stop();
  assert.deepEqual(lost, []);
  assert.deepEqual(lookoutsOf(process.pid), []);
});

test("a program that says too much in one line, or does not end with its input, is ended", async () => {
  const lines: string[] = [];
  const options = { maxLineBytes: 1_000, onLine: (line: string) => lines.push(line) };
  const talker = new Program(
    "/bin/sh",
    ["-c", "echo short >&3; head -c 2000 /dev/zero >&3; read -r forever"],
    {},
    options,
  );
  await talker.exited;
  assert.equal(talker.ended, "sh said more than 1000 bytes in one line");
  assert.equal(lines[0], "short");
  const deaf = new Program("/bin/sh", ["-c", "exec sleep 1000"]);
  assert.equal(await deaf.close(100), null);
  assert.equal(deaf.ended, "sh did not end within 0.1 s");
});

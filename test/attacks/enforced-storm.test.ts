// Thousands of readers in mode enforce: what any of them fetched would be in memory that it shares with a parent that
// lives. The same readers without enforcing show that it would.

import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Child } from "../fixtures/child.ts";
import { compile } from "../fixtures/compile.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { until } from "../store/scratch.ts";
import { DEADLINE_MS } from "./expected.ts";

const RUNS = 1_000;
const CONTROL_RUNS = 50;
/** They come for longer than the ten seconds that the kernel waits for a sign of life, and faster than rimon can judge them. */
const FLOOD_RUNS = 100_000;
const STORM_MS = 120_000;
const TECHNIQUES = ["readv", "readv-int80", "mem", "peek", "io_uring"];

interface Storm {
  readonly runs: number;
  readonly killed: number;
  readonly leaks: number;
  readonly bytes: number;
  readonly failed: number;
}

let victim: Child;
let place: { readonly pid: number; readonly address: string; readonly length: number };
let rimon: Monitor;

before(async () => {
  victim = new Child(compile("storm"), ["victim"]);
  place = JSON.parse(await victim.takeLine(DEADLINE_MS)) as typeof place;
  rimon = startRimon({ config: configOf("monitor") });
  await rimon.ready;
});
after(async () => {
  // It may have thousands of findings to write, which nobody waits for.
  await rimon?.kill9();
  victim?.closeInput();
});

function configOf(mode: "monitor" | "enforce"): string {
  return `
mode: ${mode}
protect: ["pid:${place.pid}"]
respond: { critical: [], high: [] }
enforce: [{ protect: "pid:${place.pid}", operations: [memory-read] }]
`;
}

async function reload(config: string): Promise<void> {
  writeFileSync(join(rimon.stateDirectory, "rimon.yaml"), config);
  process.kill(rimon.pid, "SIGHUP");
  await until("the configuration was reloaded", () => rimon.stderr.includes("configuration reloaded"));
}

async function storm(technique: string, runs: number): Promise<Storm | undefined> {
  const args = [place.pid, place.address, place.length, technique, runs].map(String);
  const child = new Child(compile("storm"), args);
  const told = JSON.parse(await child.takeLine(STORM_MS)) as Storm | { readonly unsupported: true };
  await child.exited;
  return "unsupported" in told ? undefined : told;
}

/** The ids of the programs, maps and links that rimon holds. */
function held(): string[] {
  const folder = `/proc/${rimon.pid}/fdinfo`;
  const texts = readdirSync(folder).map((fd) => {
    try {
      return readFileSync(join(folder, fd), "utf8");
    } catch {
      return ""; // closed meanwhile
    }
  });
  return texts.flatMap((text) => text.match(/^(?:prog_id|map_id|link_id):\s*\d+$/gm) ?? []).toSorted();
}

test("without enforcing every run of every technique leaks", async () => {
  for (const technique of TECHNIQUES) {
    const told = await storm(technique, CONTROL_RUNS);
    if (told === undefined) continue;
    const bytes = CONTROL_RUNS * place.length;
    assert.deepEqual(told, { runs: CONTROL_RUNS, killed: 0, leaks: CONTROL_RUNS, bytes, failed: 0 }, technique);
  }
});

test("a reload switches it on, with the programs that were there", async () => {
  const before = held();
  assert.ok(before.length > 0);
  await reload(configOf("enforce"));
  assert.deepEqual(held(), before);
});

for (const technique of TECHNIQUES) {
  test(`${RUNS} readers by ${technique}: all are killed and not one byte comes out`, async (t) => {
    const told = await storm(technique, RUNS);
    if (told === undefined) return t.diagnostic("this kernel does not have it");
    assert.deepEqual(told, { runs: RUNS, killed: RUNS, leaks: 0, bytes: 0, failed: 0 });
  });
}

test(`${FLOOD_RUNS} readers do not keep rimon so busy that the kernel only watches`, async () => {
  const told = await storm("readv", FLOOD_RUNS);
  assert.deepEqual(told, { runs: FLOOD_RUNS, killed: FLOOD_RUNS, leaks: 0, bytes: 0, failed: 0 });
});

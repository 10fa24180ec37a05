// The disk of `--record` is full, or whoever takes findings and observations throws: rimon goes on, and says so. Needs root:
// one test mounts a small tmpfs.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createMonitor, type Finding, type Outcome } from "../../src/index.ts";
import { startMonitor } from "../../src/rimon.ts";
import { configured } from "../detectors/configured.ts";
import { runCommand } from "../fixtures/command.ts";
import { startRimon } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { jsonLines } from "../cli/commands.ts";
import { fill } from "../store/full-disk.ts";
import { smallDisk, until } from "../store/scratch.ts";
import { attachFound, attachOnce, waitForTrouble } from "./attach.ts";

let target: Target;

before(async () => {
  target = await spawnTarget();
});

after(async () => {
  await target?.stop();
});

test("the disk of a recording fills up: findings go on, and the recording says what it lacks", async (t) => {
  const disk = smallDisk(t, 4096);
  const file = join(disk, "recording.ndjson");
  const protect = ["--protect", `pid:${target.pid}`];
  const rimon = startRimon({ config: "interval: 1s\n", args: [...protect, "--record", file] });
  t.after(() => rimon.kill9());
  await rimon.ready;
  await attachFound(rimon, target);
  const filler = fill(disk);
  const missing = await attachFound(rimon, target);
  // A page of the recording itself may have had room left.
  while (!rimon.findings().some(({ message }) => /recording\.ndjson cannot be written: .*ENOSPC/.test(message)))
    await attachFound(rimon, target);
  const during = await attachFound(rimon, target);
  rmSync(filler);
  await waitForTrouble(rimon, /observations are handed on again; \d+ were not/);
  const later = await attachFound(rimon, target);
  assert.equal(await rimon.stop(), 0);

  const { stdout, stderr } = await runCommand(["replay", file, "--json", ...protect]);
  assert.equal(stderr, "");
  const replayed = jsonLines(stdout).filter(({ type }) => type === "finding") as unknown as Finding[];
  const isIn = (finding: Finding): boolean =>
    replayed.some(({ rule, suspect }) => rule === finding.rule && suspect?.pid === finding.suspect?.pid);
  assert.ok(isIn(later));
  assert.ok(!isIn(during));
  assert.ok(replayed.some(({ message }) => /^\d+ observations before this are missing/.test(message)));
  assert.ok(missing.id < during.id);
});

test("callbacks that throw: every finding is told and answered, and the trouble too", async (t) => {
  const found: Finding[] = [];
  const outcomes: Outcome[] = [];
  let throwing = true;
  const refuse = (what: string): void => {
    if (throwing) throw new Error(`no room for ${what}`);
  };
  const monitor = await createMonitor({
    configuration: {
      protect: [`pid:${target.pid}`],
      interval: "1s",
      respond: { critical: ["capture"], high: [] },
    },
    stateDirectory: temporaryDirectory("state"),
    onObservation: () => refuse("an observation"),
    onVerdict: () => refuse("a verdict"),
    onOutcome: (outcome) => outcomes.push(outcome),
  });
  t.after(() => monitor.stop());
  const reading = (async () => {
    for await (const finding of monitor.findings()) found.push(finding);
  })();
  const pid = await attachOnce(target);
  const isIt = ({ rule, suspect }: Finding): boolean => rule === "ptrace-attach" && suspect?.pid === pid;
  await until("it was found", () => found.some(isIt));
  const { id } = found.find(isIt)!;
  await until("it was captured", () => outcomes.some((each) => each.finding === id && each.action === "capture"));
  const told = (message: RegExp): boolean => found.some((each) => message.test(each.message));
  await until("both are told", () => told(/^observations cannot .* no room for an observation/));
  assert.ok(told(/^findings, verdicts and outcomes cannot be handed on: no room for a verdict/));
  throwing = false;
  await until("observations are taken again", () => told(/^observations are handed on again; \d+ were not/));
  await until("verdicts are, too", () => told(/^findings, verdicts and outcomes are handed on again; \d+ were not/));
  await monitor.stop();
  await reading;
  // Once each: what tells a trouble is handed on as well.
  assert.equal(found.filter(({ message }) => message.startsWith("observations cannot be handed on")).length, 1);
});

test("a pass that fails is told, and there is a next one", async (t) => {
  const directory = temporaryDirectory("state");
  const configuration = configured(`protect: ["pid:${target.pid}"]\ninterval: 1s\n`, directory);
  const found: Finding[] = [];
  const monitor = await startMonitor({
    configuration,
    onRecord: (record) => void (record.type === "finding" && found.push(record)),
  });
  t.after(() => monitor.stop());
  const { state } = monitor;
  const apply = state.apply.bind(state);
  let failed = 0;
  state.apply = (observation) => {
    if (observation.kind === "tick" && failed < 2) {
      failed++;
      throw new Error("this pass is not to be");
    }
    apply(observation);
  };
  await until("two passes failed", () => failed === 2);
  const TOLD = "a pass over the node failed: this pass is not to be";
  await until("it was told", () => found.some(({ message }) => message === TOLD));
  await monitor.sweep();
  const pid = await attachOnce(target);
  await until("an attach was found", () => found.some(({ suspect }) => suspect?.pid === pid));
});

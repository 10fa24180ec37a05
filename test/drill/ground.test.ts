// What the drill holds against what is known: that the exec gate is never let near a mount that is not the drill's own.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it, test } from "node:test";
import { drillConfiguration } from "../../src/drill/configuration.ts";
import { runDrill } from "../../src/drill/drill.ts";
import { inMountsOf, layGround, ownTmpfsProblem, type Known } from "../../src/drill/ground.ts";
import { startLookout } from "../../src/drill/lookouts.ts";
import { TECHNIQUES } from "../../src/drill/techniques/all.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { filesLeft, processesNaming } from "./leftovers.ts";

const folder = temporaryDirectory("ground");
const others = temporaryDirectory("ground-others");
const before = { TMPDIR: process.env["TMPDIR"], PATH: process.env["PATH"] };
process.env["TMPDIR"] = folder;
after(() => {
  for (const [name, value] of Object.entries(before))
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
});

const KNOWN = TECHNIQUES.filter(({ knows }) => knows !== undefined);
const namesOf = (known: Known): string[] => KNOWN.filter(({ knows }) => knows === known).map(({ name }) => name);
const mountsHere = (): string => readFileSync("/proc/self/mountinfo", "utf8");

function nothingIsLeft(mounts: string): void {
  assert.deepEqual(processesNaming(folder), []);
  assert.deepEqual(filesLeft(folder), []);
  assert.equal(mountsHere(), mounts);
}

/** Programs of the node, but for those named: these end with 1 and a sentence. */
function withFailing(programs: readonly string[], act: () => Promise<void>): Promise<void> {
  const shims = mkdtempSync(join(others, "failing-"));
  for (const program of programs)
    writeFileSync(join(shims, program), `#!/bin/sh\necho "${program}: not today" >&2\nexit 1\n`, { mode: 0o755 });
  process.env["PATH"] = `${shims}:${before.PATH}`;
  return act().finally(() => (process.env["PATH"] = before.PATH));
}

describe("the tmpfs that is marked", () => {
  const line = (id: number, device: string, root: string, path: string, type: string, source: string): string =>
    `${id} 1 ${device} ${root} ${path} rw,relatime shared:1 - ${type} ${source} rw`;
  const ROOT = line(21, "254:0", "/", "/", "ext4", "/dev/vda");
  const OWN = line(90, "0:77", "/", "/tmp/x/programs", "tmpfs", "rimon-drill-00");
  const problem = (...lines: readonly string[]) => ownTmpfsProblem(`${lines.join("\n")}\n`, "/tmp/x/programs", "rimon-drill-00"); // prettier-ignore

  it("is the drill's own, and mounted there alone", () => assert.equal(problem(ROOT, OWN), undefined));

  const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["nothing is mounted", [ROOT], /nothing is mounted/],
    ["the mount is another's tmpfs", [ROOT, OWN.replace("rimon-drill-00", "tmpfs")], /not the drill's own/],
    ["a disk is mounted there", [ROOT, line(90, "254:0", "/", "/tmp/x/programs", "ext4", "rimon-drill-00")], /ext4/],
    ["something covers it", [ROOT, OWN, line(91, "254:0", "/", "/tmp/x/programs", "ext4", "/dev/vda")], /ext4/],
    ["it is a folder of another file system", [ROOT, OWN.replace(" / /tmp", " /usr /tmp")], /not the drill's own/],
    ["it is mounted elsewhere, too", [ROOT, OWN, line(91, "0:77", "/", "/usr", "tmpfs", "rimon-drill-00")], /at \/usr, too/],
  ]; // prettier-ignore
  for (const [when, lines, says] of refused)
    it(`is none where ${when}`, () => assert.match(problem(...lines) ?? "", says));
});

test("it is mounted in a mount namespace of its own, which ends with the ground", async () => {
  const mounts = mountsHere();
  const laid = join(folder, "laid");
  const ground = await layGround({ folder: laid, known: new Set<Known>(["gate"]), files: [] });
  const { holder, mount, source, known, unknown } = ground.programs();
  assert.equal(ownTmpfsProblem(readFileSync(`/proc/${holder}/mountinfo`, "utf8"), mount, source), undefined);
  assert.equal(mountsHere(), mounts);
  for (const path of [known, unknown])
    assert.equal(execFileSync(path, ["-c", "echo it runs"], { encoding: "utf8" }), "it runs\n");
  const [path, args] = inMountsOf(holder, ["/bin/sh", "-c", "pwd; cat /proc/self/mountinfo"]);
  const [cwd, ...there] = execFileSync(path, args, { encoding: "utf8" }).split("\n");
  assert.equal(cwd, process.cwd());
  assert.ok(there.some((each) => each.includes(source)));
  await ground.end();
  assert.equal(existsSync(`/proc/${holder}`), false);
  assert.equal(mountsHere(), mounts);
});

test("a monitor that does not find the tmpfs where it is marks nothing, and its sensor is off", async () => {
  const laid = join(folder, "elsewhere");
  mkdirSync(laid);
  const ground = await layGround({ folder: join(laid, "known"), known: new Set<Known>(["gate"]), files: [] });
  try {
    const programs = { ...ground.programs(), source: "rimon-drill-another" };
    const lookout = startLookout({
      folder: join(laid, "state"),
      decoys: "no-decoy-at-all",
      enforce: true,
      drill: process.pid,
      known: { snapshots: false, programs },
      onSighting: () => {},
      onLost: () => {},
    });
    await lookout.ready;
    const gate = lookout.sensors().find(({ name }) => name === "exec-gate");
    await lookout.stop();
    assert.equal(gate?.state, "off");
  } finally {
    await ground.end();
  }
});

test("the gate is asked for the tmpfs alone, without what is mounted below, and enforces only where it is told to", () => {
  const programs = { holder: 1, mount: "/tmp/x/programs", source: "s", baseline: "/b", known: "", unknown: "", digest: "" }; // prettier-ignore
  for (const enforce of [false, true]) {
    const known = { snapshots: false, programs };
    const { gate } = drillConfiguration({ folder: "/tmp/x", decoys: "d", enforce, hasCgroup: false, known });
    const mode = enforce ? "enforce" : "audit";
    assert.deepEqual(gate?.mounts, [{ path: "/tmp/x/programs", mode, opens: false, below: false }]);
  }
});

for (const program of ["mount", "nsenter", "unshare"])
  test(`where ${program} fails nothing is marked, the reason is told, and the rest is drilled`, async () => {
    const mounts = mountsHere();
    await withFailing([program], async () => {
      const { results, sensors } = await runDrill({ only: ["proc-mem", "file-written", "exec-unknown"] });
      const outcomes = results.map(({ technique, outcome }) => [technique, outcome]);
      assert.deepEqual(outcomes, [["proc-mem", "seen"], ["file-written", "seen"], ["exec-unknown", "not-run"]]); // prettier-ignore
      assert.match(results.at(-1)?.reason ?? "", new RegExp(`${program}: not today`));
      assert.equal(sensors.find(({ name }) => name === "exec-gate")?.state, "off");
    });
    nothingIsLeft(mounts);
  });

test("what is known is asked for by its techniques alone", async () => {
  const mounts = mountsHere();
  const { sensors } = await runDrill({ only: ["file-written"] });
  const states = new Map(sensors.map(({ name, state }) => [name, state]));
  assert.deepEqual(["files", "file-events", "snapshots", "exec-gate"].map((name) => states.get(name)), ["live", "live", "off", "off"]); // prettier-ignore
  assert.deepEqual([namesOf("gate"), namesOf("snapshots").length], [["exec-unknown"], 2]);
  nothingIsLeft(mounts);
});

test("stopped: what nobody knows is refused and does not run, and what is known runs", async () => {
  const mounts = mountsHere();
  const { results } = await runDrill({ only: ["exec-unknown"], enforce: true });
  const [result] = results;
  assert.deepEqual(
    [result?.outcome, result?.enforced, result?.attributed, result?.rule, result?.suspect?.comm],
    ["stopped", true, true, "exec-denied", "sh"],
    JSON.stringify(result),
  );
  nothingIsLeft(mounts);
});

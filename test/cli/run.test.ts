import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Finding } from "../../src/finding.ts";
import { attachFound, attachOnce, DEADLINE_MS } from "../faults/attach.ts";
import { startProgram, type Child } from "../fixtures/child.ts";
import { runCommand } from "../fixtures/command.ts";
import { startRimon } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { ANSI, COLOUR, jsonLines, main, startOnTerminal } from "./commands.ts";

let target: Target;
before(async () => {
  target = await spawnTarget({ name: "run-vault" });
});
after(() => target?.stop());

describe("run --json", () => {
  it("begins with ready, which says what is protected and by which sensors", async () => {
    const rimon = startRimon({ args: ["--protect", `pid:${target.pid}`] });
    const ready = await rimon.ready;
    assert.equal(rimon.records[0], ready);
    const processes = ready["protected"] as { pid: number; comm: string; by?: string }[];
    assert.deepEqual(
      processes.filter(({ pid }) => pid !== rimon.pid).map(({ pid, comm, by }) => [pid, comm, by]),
      [[target.pid, "run-vault", `pid:${target.pid}`]],
    );
    assert.ok(processes.some(({ pid }) => pid === rimon.pid));
    const sensors = ready["sensors"] as { name: string; state: string }[];
    for (const name of ["proc-connector", "fanotify", "process-table", "descriptors", "posture", "address-space"])
      assert.equal(sensors.find((sensor) => sensor.name === name)?.state, "live", name);
    assert.equal(await rimon.stop(), 0);
    assert.deepEqual([rimon.strayLines, rimon.stderr], [[], ""]);
  });

  it("--mode off is said where it is allowed", async () => {
    const rimon = startRimon({ config: "environment: development\n", args: ["--mode", "off"] });
    const ready = await rimon.ready;
    assert.equal(ready["mode"], "off");
    assert.match(JSON.stringify(ready["weakened"]), /mode is off/);
    assert.equal(await rimon.stop(), 0);
  });
});

describe("run is refused with exit code 2 and a sentence", { concurrency: 2 }, () => {
  const folder = temporaryDirectory("run");
  const env = { RIMON_STATE_DIR: join(folder, "state") };
  const taken = join(folder, "taken.ndjson");
  writeFileSync(taken, "kept\n");
  const production = join(folder, "production.yaml");
  writeFileSync(production, "environment: production\n");
  const refused: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [["--protect", "vault"], /^RIMON_CONFIG: a selector must be comm:NAME, .* got "vault"\n$/],
    [["--protect", "pid:0"], /^RIMON_CONFIG: a selector must be pid: and a number from 1 to .* got "pid:0"\n$/],
    [["--protect", "comm:a", "--protect", "container:xyz"], /^RIMON_CONFIG: .*12 to 64 hexadecimal digits.*"container:xyz"\n$/],
    [["--record", taken], /^RIMON_USAGE: --record wants a file that does not exist yet: .*taken\.ndjson.*\n$/],
    [["--record", join(folder, "nowhere", "r.ndjson")], /^RIMON_USAGE: .*nowhere.*\n$/],
    [["--mode", "off", "--config", production], /^RIMON_CONFIG: --mode off is for development: .*\n$/],
    [["--mode", "off"], /^RIMON_CONFIG: --mode off is for development: .*\n$/],
  ]; // prettier-ignore
  for (const [args, says] of refused) {
    it(args.join(" "), async () => {
      const { code, stdout, stderr } = await runCommand(["run", ...args], { env });
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, says);
    });
  }

  it("and touches nothing", () => {
    assert.equal(readFileSync(taken, "utf8"), "kept\n");
    assert.ok(!existsSync(join(env.RIMON_STATE_DIR, "audit.ndjson")));
  });
});

it("a recording replays to the findings that were told while it was made", async () => {
  const folder = temporaryDirectory("record");
  const file = join(folder, "recording.ndjson");
  const protect = ["--protect", `pid:${target.pid}`];
  const rimon = startRimon({ args: [...protect, "--record", file] });
  await rimon.ready;
  await attachFound(rimon, target);
  await attachFound(rimon, target);
  assert.equal(await rimon.stop(), 0);
  const told = rimon.findings();
  assert.ok(told.length >= 2);
  assert.equal(statSync(file).mode & 0o777, 0o600);

  const { code, stdout, stderr } = await runCommand(["replay", file, "--json", ...protect]);
  assert.deepEqual([code, stderr], [1, ""]);
  const found = jsonLines(stdout).filter(({ type }) => type === "finding") as unknown as Finding[];
  // An id is made of the time and of randomness, which a replay has none of.
  const comparable = (findings: readonly Finding[]): unknown[] => {
    const numbers = new Map(findings.map(({ id }, index) => [id, index]));
    return findings.map(({ id, repeats, ...rest }) => ({
      ...rest,
      id: numbers.get(id),
      repeats: repeats === undefined ? undefined : numbers.get(repeats),
    }));
  };
  assert.deepEqual(comparable(found), comparable(told));
});

/** Attaches, and waits until a person can read who did. */
async function attachRead(child: Child): Promise<void> {
  const pid = await attachOnce(target);
  const isRead = (line: string): boolean => line.includes("ptrace-attach") && line.includes(`(${pid}`);
  await child.lines.waitFor(isRead, DEADLINE_MS, `a finding about ${pid}`);
}

it("SIGHUP with a broken configuration leaves the old one in force, and says so", async (t) => {
  const rimon = startRimon({ config: `protect: ["pid:${target.pid}"]\n` });
  t.after(() => rimon.kill9());
  await rimon.ready;
  writeFileSync(join(rimon.stateDirectory, "rimon.yaml"), "mode: loud\n");
  process.kill(rimon.pid, "SIGHUP");
  const deadline = Date.now() + DEADLINE_MS;
  while (!/configuration not reloaded, the old one stays in force: .*:1:7: mode/.test(rimon.stderr)) {
    assert.ok(Date.now() < deadline, `rimon said nothing of it: ${rimon.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(await rimon.stop(), 0);
});

describe("run for a person", () => {
  it("writes no ANSI code and no status line where nobody watches", async (t) => {
    const env = { RIMON_STATE_DIR: temporaryDirectory("state") };
    const child = startProgram(main, ["run", "--protect", `pid:${target.pid}`], { env });
    t.after(() => child.stop());
    await child.lines.waitFor((line) => line.startsWith("audit "), DEADLINE_MS, "the banner");
    await attachRead(child);
    assert.equal((await child.stop("SIGTERM")).code, 0);
    const text = child.lines.items.join("\n");
    assert.doesNotMatch(text, ANSI);
    assert.doesNotMatch(text, /watching, /);
    assert.equal(child.stderr, "");
    assert.match(text, /^rimon \d.* mode monitor$/m);
    assert.match(text, new RegExp(`^protects .*\\(${target.pid}\\) +rimon itself$`, "m"));
    assert.match(text, /^audit +\S+audit\.ndjson/m);
    assert.match(text, /^no alert sink is configured/m);
    assert.equal((await runCommand(["audit", "verify", join(env.RIMON_STATE_DIR, "audit.ndjson")])).code, 0);
  });

  for (const [what, env, coloured] of [
    ["in colour", {}, true],
    ["without colour under NO_COLOR", { NO_COLOR: "1" }, false],
  ] as const) {
    it(`on a terminal shows a status line that moves, ${what}, and ends at Ctrl-C with a clean line`, async (t) => {
      const state = temporaryDirectory("state");
      const child = startOnTerminal(["run", "--protect", `pid:${target.pid}`], { ...env, RIMON_STATE_DIR: state });
      t.after(() => child.stop());
      await child.lines.waitFor((line) => line.includes("rimon"), DEADLINE_MS, "the banner");
      const status = await child.lines.waitFor((line) => /watching, \d+ s/.test(line), DEADLINE_MS, "a status line");
      await child.lines.waitFor((line) => /watching, \d+ s/.test(line) && line !== status, DEADLINE_MS, "a later one");
      await attachRead(child);
      // What the terminal makes of it is the interrupt signal.
      child.send("\u0003");
      assert.equal((await child.exited).code, 0);
      const text = child.lines.items.join("\n");
      assert.match(text, /2 protected .* sensors live/);
      assert.equal(COLOUR.test(text), coloured);
      assert.doesNotMatch(child.lines.items.at(-1) ?? "", /watching/);
    });
  }
});

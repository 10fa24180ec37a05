// The exec gate as an operator has it: learn a folder, seal what was learned, run with it, see what is refused; kill -9
// and start again. All on a tmpfs of the test's own.

import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { runCommand } from "../fixtures/command.ts";
import { compile } from "../fixtures/compile.ts";
import { EVIL, NOBODY, programs, run, sha256Of, tmpfs } from "../fixtures/gate.ts";
import { isLive, startRimon, type Monitor, type RimonOptions } from "../fixtures/monitor.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { exitOf, lineOf, start, until } from "../native/child.ts";

const REFUSED = 126;
const DEADLINE_MS = 20_000;
/** Every executable of every package is read. */
const PACKAGES_MS = 120_000;

interface Scene {
  readonly folder: string;
  readonly good: string;
  readonly evil: string;
  readonly baseline: string;
  readonly key: string;
}

async function scene(t: TestContext): Promise<Scene> {
  const folder = tmpfs(t);
  const made = programs();
  const [good, evil] = [join(folder, "good"), join(folder, "evil")];
  copyFileSync(made.good, good);
  const beside = temporaryDirectory("baseline");
  const [baseline, key] = [join(beside, "executables.json"), join(beside, "key")];
  const learned = await runCommand(["gate", "learn", folder, "--out", baseline]);
  assert.equal(learned.code, 0, learned.stderr);
  assert.match(learned.stdout, /knows 1 executable, not sealed yet/);
  assert.equal((await runCommand(["seal", "keygen", key])).code, 0);
  const signed = await runCommand(["seal", "sign", baseline, "--key", key]);
  assert.equal(signed.code, 0, signed.stderr);
  copyFileSync(made.evil, evil);
  return { folder, good, evil, baseline, key };
}

const configOf = ({ folder, baseline, key }: Scene, mode = "enforce", more = ""): string => `
mode: ${mode}
environment: development
gate:
  mode: enforce
  mounts: [{ path: ${folder}, below: true }]
  known: [${baseline}]
  publicKeys: [${key}.pub]
${more}`;

/** Gone before what it has marked is unmounted. */
function started(t: TestContext, options: RimonOptions): Monitor {
  const monitor = startRimon(options);
  t.after(() => monitor.kill9());
  return monitor;
}

test("what was not learned is refused and found, by a baseline that is sealed; the gap after a kill -9 is told", async (t) => {
  const made = await scene(t);
  const { folder, good, evil, baseline } = made;
  const monitor = started(t, { config: configOf(made) });
  assert.ok(isLive(await monitor.ready, "exec-gate"), monitor.stderr);
  assert.equal(run(good), 0);
  assert.equal(run(evil), REFUSED);
  const refusal = () => {
    const digest = sha256Of(evil);
    return monitor.waitForFinding("exec-denied", DEADLINE_MS, ({ message }) => message.includes(digest));
  };
  const finding = await refusal();
  assert.equal(finding.severity, "high");
  assert.match(finding.message, /was refused .*evil: nothing allows it, sha256 /);
  // It had ended before anybody could read who it was, and is known all the same, and its parent. Who started that, a
  // millisecond before, may be told after.
  assert.ok((finding.suspect?.ancestry?.length ?? 0) > 0, JSON.stringify(finding.suspect));
  await until("a refusal with all who stand behind it", async () => {
    appendFileSync(evil, "\n");
    assert.equal(run(evil), REFUSED);
    const { suspect } = await refusal();
    return suspect?.ancestry?.some(({ pid }) => pid === process.pid) === true || undefined;
  });

  // What is mounted below is checked as soon as rimon has seen that it is.
  const config = join(monitor.stateDirectory, "rimon.yaml");
  const env = { RIMON_STATE_DIR: monitor.stateDirectory };
  const status = await runCommand(["gate", "status", "--config", config], { env });
  assert.equal(status.code, 0, status.stdout + status.stderr);
  assert.match(status.stdout, new RegExp(`${folder} +enforce +executed, and what is mounted below +checked`));
  const tried = await runCommand(["gate", "try", evil, "--config", config], { env });
  assert.deepEqual(
    [tried.code, tried.stdout],
    [1, `denied  ${evil}: no rule matches, and otherwise is deny, sha256 ${sha256Of(evil)}`],
  );
  const fine = await runCommand(["gate", "try", good, "--config", config, "--json"], { env });
  assert.deepEqual([fine.code, (JSON.parse(fine.stdout) as { rule: string }).rule], [0, "known"]);

  await monitor.kill9();
  assert.equal(run(evil), EVIL);
  const gone = await runCommand(["gate", "status", "--config", config], { env });
  assert.equal(gone.code, 1);
  assert.match(gone.stdout, /^NOT CHECKED/);

  const again = started(t, { config: configOf(made), stateDirectory: monitor.stateDirectory });
  await again.ready;
  const gap = await again.waitForFinding("exec-denied", DEADLINE_MS, ({ technique }) => technique === "gap");
  assert.match(gap.message, /nothing was checked before it ran: rimon ended without stopping/);
  assert.equal(run(evil), REFUSED);
  await again.stop();

  // Where there is none, nothing is checked: never is everything denied.
  rmSync(baseline);
  const blind = started(t, { config: configOf(made) });
  const { sensors = [] } = await blind.ready;
  const own = sensors.find(({ name }) => name === "exec-gate");
  assert.equal(own?.state, "down");
  assert.match(own?.reason ?? "", /there is none.*nothing is checked before it runs/);
  assert.equal(run(evil), EVIL);
  await blind.stop();
});

test("what the kernel refuses since somebody has a lease on it is told", async (t) => {
  const made = await scene(t);
  const holder = start(t, compile("gate-lease"), [made.evil]);
  assert.equal(await lineOf(holder), "holds");
  const monitor = started(t, { config: configOf(made) });
  assert.ok(isLive(await monitor.ready, "exec-gate"), monitor.stderr);
  assert.equal(run(made.evil), REFUSED);
  await monitor.waitForFinding("sensor-blind", DEADLINE_MS, ({ message }) =>
    message.includes("could not open for rimon what was executed (somebody has a lease on it), and refused it"),
  );
  await monitor.stop();
});

test("a baseline is read anew when its file is another, without a restart; a bad one leaves the last good one", async (t) => {
  const made = await scene(t);
  const { folder, good, evil, baseline, key } = made;
  const monitor = started(t, { config: configOf(made) });
  assert.ok(isLive(await monitor.ready, "exec-gate"), monitor.stderr);
  assert.equal(run(evil), REFUSED);
  const refusal = (code: string) =>
    monitor.waitForFinding("baseline-refused", DEADLINE_MS, ({ technique }) => technique === code);

  const older = readFileSync(baseline);
  const newer = join(temporaryDirectory("newer"), "executables.json");
  assert.equal((await runCommand(["gate", "learn", folder, "--out", newer])).code, 0);
  const other = join(temporaryDirectory("other"), "key");
  assert.equal((await runCommand(["seal", "keygen", other])).code, 0);
  const unsealed = readFileSync(newer);
  assert.equal((await runCommand(["seal", "sign", newer, "--key", other])).code, 0);
  renameSync(newer, baseline);
  assert.match(
    (await refusal("wrong-key")).message,
    /executables.* is refused \(wrong-key\), the last good one is used/,
  );
  assert.deepEqual([run(good), run(evil)], [0, REFUSED]);

  writeFileSync(newer, unsealed);
  assert.equal((await runCommand(["seal", "sign", newer, "--key", key])).code, 0);
  renameSync(newer, baseline);
  await until("what was learned to run", () => (run(evil) === EVIL ? true : undefined));
  assert.equal(run(good), 0);

  // The older one does not know of what was learned since; whoever holds it cannot bring it back.
  writeFileSync(newer, older);
  renameSync(newer, baseline);
  await refusal("rolled-back");
  rmSync(baseline);
  await refusal("missing");
  assert.deepEqual([run(good), run(evil)], [0, EVIL]);
  await monitor.stop();

  // Nor by a restart: the copy is what is remembered.
  writeFileSync(baseline, older);
  const again = started(t, { config: configOf(made), stateDirectory: monitor.stateDirectory });
  await again.ready;
  await again.waitForFinding("baseline-refused", DEADLINE_MS, ({ technique }) => technique === "rolled-back");
  assert.deepEqual([run(good), run(evil)], [0, EVIL]);
  await again.stop();
});

test("what dpkg installed is known wherever it lies, and with one bit of it changed it is not", async (t) => {
  const folder = tmpfs(t);
  const [known, changed] = [join(folder, "known"), join(folder, "changed")];
  copyFileSync("/usr/bin/true", known);
  const bytes = readFileSync(known);
  const last = bytes.length - 1;
  bytes[last] = (bytes[last] ?? 0) ^ 1;
  writeFileSync(changed, bytes, { mode: 0o755 });
  assert.equal(run(changed), 0);
  const gate = `{ mode: enforce, mounts: [{ path: ${folder} }], packages: true }`;
  const monitor = started(t, { config: `mode: enforce\nenvironment: development\ngate: ${gate}\n` });
  await monitor.ready;
  // Until every file of every package is read nothing is checked, and that is told.
  await until(
    "what is of no package to be refused",
    async () => {
      await sleep(250);
      return run(changed) === REFUSED ? true : undefined;
    },
    PACKAGES_MS,
  );
  assert.equal(run(known), 0);
  const config = join(monitor.stateDirectory, "rimon.yaml");
  const env = { RIMON_STATE_DIR: monitor.stateDirectory };
  const ask = async (path: string) => (await runCommand(["gate", "try", path, "--config", config], { env })).stdout;
  assert.match(await ask(known), /^allowed .*rule known/);
  assert.match(await ask(changed), /^denied .*no rule matches/);
  const { stdout } = await runCommand(["gate", "status", "--config", config], { env });
  const [, count] = /(\d+) of packages/.exec(stdout) ?? [];
  assert.ok(Number(count) > 100, stdout);
  await monitor.stop();
});

test("in mode monitor nothing is refused, and a list of what never runs is told by its rule", async (t) => {
  const made = await scene(t);
  const list = join(temporaryDirectory("denied"), "denied");
  writeFileSync(list, `# by hand\n${sha256Of(made.good)}  good\n`);
  const monitor = started(t, { config: configOf(made, "monitor", `  denied: [${list}]`) });
  assert.ok(isLive(await monitor.ready, "exec-gate"), monitor.stderr);
  assert.equal(run(made.good), 0);
  const finding = await monitor.waitForFinding("exec-denied", DEADLINE_MS);
  assert.equal(finding.severity, "medium");
  assert.match(finding.message, /ran .*good: rule denied/);
  await monitor.stop();
});

test("what a shell or the loader was given to run is told, though the kernel asks nobody", async (t) => {
  const made = await scene(t);
  const monitor = started(t, { config: configOf(made) });
  assert.ok(isLive(await monitor.ready, "exec-gate"), monitor.stderr);
  const script = join(made.folder, "script.sh");
  writeFileSync(script, "sleep 3\nexit 7\n");
  assert.equal(run("/bin/sh", script), 7);
  const found = await monitor.waitForFinding("exec-denied", DEADLINE_MS, ({ message }) =>
    message.includes("script.sh"),
  );
  assert.deepEqual([found.severity, found.technique], ["medium", "open"]);
  await monitor.stop();
});

test("a file system that is mounted below is checked from when rimon has seen it", async (t) => {
  const made = await scene(t);
  const monitor = started(t, { config: configOf(made) });
  assert.ok(isLive(await monitor.ready, "exec-gate"), monitor.stderr);
  const below = join(made.folder, "below");
  const script = `mkdir "$1" && mount -t tmpfs rimon-gate-test "$1" && cp "$2" "$1/evil"
    i=0; while "$1/evil"; [ $? != ${REFUSED} ] && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done
    "$1/evil"; code=$?; umount -l "$1"; exit $code`;
  assert.equal(run("sh", "-c", script, "sh", below, made.evil), REFUSED);
  await monitor.stop();
});

test("a file system that somebody mounts in a mount namespace of their own is checked, too", async (t) => {
  const made = await scene(t);
  const monitor = started(t, { config: configOf(made) });
  assert.ok(isLive(await monitor.ready, "exec-gate"), monitor.stderr);
  const below = join(made.folder, "below");
  const config = join(monitor.stateDirectory, "rimon.yaml");
  mkdirSync(below);
  const script = `mount -t tmpfs rimon-gate-test "$1" && cp "$2" "$1/evil"
    i=0; while "$1/evil"; [ $? != ${REFUSED} ] && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done
    "$1/evil"; code=$?; echo $code; read _; exit $code`;
  const [who, namespaced] = ["setpriv", ["unshare", "-m", "sh", "-c", script, "sh", below, made.evil]];
  const as = ["--reuid", String(NOBODY), "--regid", String(NOBODY), "--clear-groups", "unshare", "-Urm"];
  for (const args of [namespaced, [who, ...as, ...namespaced.slice(2)]]) {
    // Not ours to spare: what rimon starts is, what the test starts is not, and a shell is in between.
    const child = start(t, "sh", ["-c", '"$@"; exit $?', "sh", ...args]);
    assert.equal(await lineOf(child), String(REFUSED));
    const { stdout } = await untilStatus(config, monitor.stateDirectory, /mount namespace \d+/);
    assert.match(stdout, new RegExp(`\\d+:\\d+ +tmpfs +${below} +enforce +mount namespace`));
    child.stdin?.end("\n");
    assert.equal((await exitOf(child)).code, REFUSED);
  }
  await monitor.stop();
});

async function untilStatus(config: string, stateDirectory: string, shown: RegExp): Promise<{ stdout: string }> {
  return until(`rimon gate status to show ${shown}`, async () => {
    const status = await runCommand(["gate", "status", "--config", config], {
      env: { RIMON_STATE_DIR: stateDirectory },
    });
    return shown.test(status.stdout) ? status : undefined;
  });
}

for (const uid of [0, NOBODY]) {
  test(`what is run from a file system of one's own before it is marked is told, by uid ${uid}`, async (t) => {
    const made = await scene(t);
    const monitor = started(t, { config: configOf(made) });
    assert.ok(isLive(await monitor.ready, "exec-gate"), monitor.stderr);
    const below = join(made.folder, "below");
    mkdirSync(below);
    for (let round = 0; round < 5; round++) {
      const at = join(below, String(round));
      mkdirSync(at);
      // Each another program: what was told of one digest is not told again. It sleeps: what is over in a millisecond may
      // be gone before anybody has read what it was.
      const evil = join(made.folder, `evil.${round}`);
      writeFileSync(evil, Buffer.concat([readFileSync("/bin/sleep"), Buffer.from(String(round))]));
      assert.ok([0, REFUSED].includes(run(compile("gate-newmount"), "tmpfs", at, evil, String(uid))));
      const found = await monitor.waitForFinding("exec-denied", DEADLINE_MS, ({ message }) =>
        message.includes(join(at, "evil")),
      );
      assert.equal(found.severity, "high");
    }
    await monitor.stop();
  });
}

test("what runs from a file system that a server answers for is told, and the server is not asked", async (t) => {
  const made = await scene(t);
  const monitor = started(t, { config: configOf(made) });
  assert.ok(isLive(await monitor.ready, "exec-gate"), monitor.stderr);
  const served = join(made.folder, "served");
  mkdirSync(served);
  const server = start(t, compile("gate-server"), [served, "/bin/sleep"]);
  t.after(() => run("umount", "-l", served));
  assert.equal(await lineOf(server), "ready");
  const config = join(monitor.stateDirectory, "rimon.yaml");
  await untilStatus(config, monitor.stateDirectory, new RegExp(`not checked +${served} \\(fuse.rimon\\)`));
  start(t, join(served, "file"), ["600"]);
  const found = await monitor.waitForFinding("exec-denied", DEADLINE_MS, ({ technique }) => technique === "unmarked");
  assert.match(found.message, /file: its file system is not checked, or was not yet$/);
  // Whoever looks at it after must not wait for it, either.
  server.kill("SIGSTOP");
  assert.equal(run(made.good), 0);
  assert.equal(run(made.evil), REFUSED);
  const digest = sha256Of(made.evil);
  await monitor.waitForFinding("exec-denied", DEADLINE_MS, ({ message }) => message.includes(digest));
  server.kill("SIGKILL");
  await monitor.stop();
});

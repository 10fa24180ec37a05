// Libraries forced into a process: at its start, by the whole node's list, and while it runs.

import assert from "node:assert/strict";
import { copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Finding } from "../../src/finding.ts";
import { Child } from "../fixtures/child.ts";
import { compile } from "../fixtures/compile.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target, type TargetOptions } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { DEADLINE_MS, expectFinding, identityOf } from "./expected.ts";

const NAME = "preload-victim";
const READY_MS = 60_000;
const library = compile("preload", { shared: true });
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
let rimon: Monitor;

before(async () => {
  // One by comm and one by exe: the file of the target is known before it runs.
  const exe = compile("target", { output: "by-exe" });
  rimon = startRimon({ args: ["--protect", `comm:${NAME}`, "--protect", `exe:${exe}`] });
  await rimon.ready;
});
after(() => rimon.stop());

async function victim(options: TargetOptions = {}): Promise<Target> {
  const target = await spawnTarget({ name: NAME, ...options });
  after(() => target.stop());
  return target;
}

async function found(target: Target, technique: string, operation = "load"): Promise<Finding> {
  return expectFinding(rimon, {
    rule: "library-preloaded",
    severity: "high",
    technique,
    operation,
    suspect: undefined,
    target: identityOf(target.pid),
  });
}

for (const name of [NAME, "by-exe"]) {
  test(`LD_PRELOAD at the start of ${name}`, async () => {
    const target = await victim({ name, env: { LD_PRELOAD: library } });
    const { message, subject } = await found(target, "ld-preload");
    assert.equal(subject, `LD_PRELOAD ${library}`);
    assert.match(message, new RegExp(`was started with LD_PRELOAD=.* by .* \\(${process.pid}`));
    // The library lies where anybody can write.
    await found(target, "unusual-library", "map");
  });
}

test("LD_AUDIT at the start", async () => {
  const audit = compile("audit", { shared: true });
  const target = await victim({ env: { LD_AUDIT: audit } });
  assert.equal((await found(target, "ld-audit")).subject, `LD_AUDIT ${audit}`);
});

test("a library that takes LD_PRELOAD out of the environment before main()", async () => {
  const path = compile("erase", { shared: true });
  const target = await victim({ env: { LD_PRELOAD: path } });
  assert.doesNotMatch(readFileSync(`/proc/${target.pid}/environ`, "latin1"), /LD_PRELOAD/);
  const { subject, sensor, evidence } = await found(target, "ld-preload");
  assert.deepEqual([subject, sensor], [`LD_PRELOAD ${path}`, "exec"]);
  assert.equal(evidence[0]?.kind, "posture.seen");
});

test("an environment that is too long to be looked through", async () => {
  const many = Object.fromEntries(Array.from({ length: 65_536 }, (_, index) => [index.toString(36), ""]));
  const target = await victim({ env: many });
  assert.equal((await found(target, "environment-cut")).subject, "environment");
});

test("no value of the environment leaves rimon but the paths of these two", async () => {
  const target = await victim({ env: { LD_PRELOAD: library, TOKEN: "hunter2-hunter2" } });
  await found(target, "ld-preload");
  assert.ok(!JSON.stringify(rimon.records).includes("hunter2"));
});

test("LD_PRELOAD that comes with an exec under the same pid", async () => {
  const exe = compile("target", { output: NAME });
  const script = `read -r line; LD_PRELOAD=${library} exec ${exe} 0 - - -`;
  const shell = new Child("/bin/sh", ["-c", script]);
  after(() => shell.stop());
  shell.send("go");
  await shell.takeLine(DEADLINE_MS);
  const finding = await rimon.waitForFinding(
    "library-preloaded",
    DEADLINE_MS,
    (f) => f.target?.pid === shell.pid && f.technique === "ld-preload",
  );
  assert.equal(finding.target?.comm, NAME);
});

for (const folder of ["/tmp", "/dev/shm"]) {
  test(`a library loaded from ${folder} while it runs`, async () => {
    const directory = temporaryDirectory("library");
    const path = folder === "/tmp" ? join(directory, "late.so") : `/dev/shm/rimon-test-${process.pid}.so`;
    const target = await victim();
    copyFileSync(compile("evil", { shared: true }), path);
    try {
      await target.command(`dlopen ${path}`);
      assert.equal((await found(target, "unusual-library", "map")).subject, path);
    } finally {
      rmSync(path);
    }
  });
}

test("/etc/ld.so.preload, in a mount namespace whose /etc is a copy", async () => {
  const etc = temporaryDirectory("etc");
  const state = temporaryDirectory("state");
  cpSync("/etc", etc, { recursive: true, verbatimSymlinks: true });
  const lines = [`mount --bind ${etc} /etc`, 'exec "$@"'].join(" && ");
  const run = [
    process.execPath,
    "--import",
    import.meta.resolve("tsx"),
    main,
    "run",
    "--json",
    "--protect",
    `comm:${NAME}`,
  ];
  const namespaced = new Child("unshare", ["-m", "sh", "-c", lines, "sh", ...run], {
    env: { RIMON_STATE_DIR: state },
    lastSignal: "SIGTERM",
  }); // prettier-ignore
  try {
    await namespaced.lines.waitFor((line) => line.includes('"type":"ready"'), READY_MS, "a ready record");
    writeFileSync(join(etc, "ld.so.preload"), `# one\n${library}\n`);
    const line = await namespaced.lines.waitFor(
      (each) => each.includes('"type":"finding"') && each.includes('"ld-so-preload"'),
      DEADLINE_MS,
      "a finding of ld-so-preload",
    );
    const { rule, severity, subject, target } = JSON.parse(line) as Finding;
    assert.deepEqual(
      { rule, severity, subject, target },
      { rule: "library-preloaded", severity: "high", subject: library, target: undefined },
    );
  } finally {
    await namespaced.stop("SIGTERM");
  }
});

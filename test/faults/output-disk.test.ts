// Standard output, or both outputs, on a full disk: rimon goes on, says so in the log, and ends with exit code 1. Needs root:
// it mounts a small tmpfs.

import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { Child } from "../fixtures/child.ts";
import { readAudit, verifyAudit } from "../fixtures/command.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { main } from "../cli/commands.ts";
import { fill } from "../store/full-disk.ts";
import { smallDisk, until } from "../store/scratch.ts";
import { attachOnce } from "./attach.ts";

let target: Target;

before(async () => {
  target = await spawnTarget();
});

after(async () => {
  await target?.stop();
});

interface Redirected {
  readonly child: Child;
  readonly stateDirectory: string;
  /** Whether the audit log has these words by now. */
  logged(words: string): boolean;
}

/** `rimon ARGS`, its output redirected by a shell that it takes the place of. */
function start(t: TestContext, args: readonly string[], redirection: string): Redirected {
  const stateDirectory = temporaryDirectory("state");
  const words = ["--pdeathsig", "KILL", process.execPath, "--import", import.meta.resolve("tsx"), main, ...args];
  const child = new Child("sh", ["-c", `exec setpriv "$@" ${redirection}`, "sh", ...words], {
    env: { RIMON_STATE_DIR: stateDirectory },
  });
  t.after(() => child.kill("SIGKILL"));
  const log = join(stateDirectory, "audit.ndjson");
  return {
    child,
    stateDirectory,
    logged: (text) => existsSync(log) && readFileSync(log, "utf8").includes(text),
  };
}

const runs = (): string[] => ["run", "--json", "--protect", `pid:${target.pid}`];

/** Attaches until it is in the log. */
async function attachLogged({ logged }: Redirected): Promise<number> {
  const pid = await attachOnce(target);
  await until(`the log has the attach by ${pid}`, () => logged(`"suspect":{"pid":${pid},`));
  return pid;
}

for (const [what, redirection, said] of [
  ["standard output", ">/dev/full", /^rimon: standard output cannot be written: ENOSPC.*\n$/],
  ["both outputs", ">/dev/full 2>&1", /^$/],
] as const) {
  test(`a full disk under ${what}: rimon goes on, and its exit code says it`, async (t) => {
    const rimon = start(t, runs(), redirection);
    await until("it is ready", () => rimon.logged(`"type":"ready"`));
    await until("the trouble is in the log", () => rimon.logged("standard output cannot be written: ENOSPC"));
    await attachLogged(rimon);
    await attachLogged(rimon);
    assert.equal((await rimon.child.stop("SIGTERM")).code, 1);
    assert.match(rimon.child.stderr, said);
    assert.equal((await verifyAudit(rimon.stateDirectory)).code, 0);
    const troubles = (await readAudit(rimon.stateDirectory)).filter(({ body }) =>
      JSON.stringify(body).includes(`"technique":"output-trouble"`),
    );
    assert.equal(troubles.length, 1);
  });
}

test("when there is room again the output goes on, each record on a line of its own", async (t) => {
  const disk = smallDisk(t, 16 * 1024);
  const file = join(disk, "rimon.log");
  const rimon = start(t, runs(), `>>'${file}'`);
  await until("it is ready", () => rimon.logged(`"type":"ready"`));
  const filler = fill(disk);
  await until("it was refused", async () => {
    await attachLogged(rimon);
    return rimon.logged("standard output cannot be written: ENOSPC");
  });
  rmSync(filler);
  await until("it is written again", async () => {
    await attachLogged(rimon);
    return rimon.logged("standard output is written again; it refused");
  });
  const last = await attachLogged(rimon);
  assert.equal((await rimon.child.stop("SIGTERM")).code, 1);
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  const torn = lines.filter((line) => {
    try {
      return JSON.parse(line) === undefined;
    } catch {
      return true;
    }
  });
  assert.ok(torn.length <= 1, torn.join("\n"));
  assert.ok(lines.some((line) => line.includes(`"suspect":{"pid":${last},`)));
});

test("a command whose output is refused has exit code 1, or the graver one of its own", async (t) => {
  const explain = start(t, ["explain", "memory-read"], ">/dev/full");
  assert.equal((await explain.child.exited).code, 1);
  assert.match(explain.child.stderr, /^rimon: standard output cannot be written: ENOSPC.*\n$/);
  const wrong = start(t, ["explain", "no-such-rule"], ">/dev/full 2>&1");
  assert.equal((await wrong.child.exited).code, 2);
});

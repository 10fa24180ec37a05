// `rimon snapshot` from the first baseline to a sealed one that somebody has tampered with.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { Child, startProgram } from "../fixtures/child.ts";
import { runCommand } from "../fixtures/command.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { jsonLines, main } from "./commands.ts";

const folder = temporaryDirectory("snapshot");

function startSleep(t: TestContext): number {
  const child = new Child("sleep", ["1000"]);
  t.after(() => child.kill("SIGKILL"));
  return child.pid;
}

const prlimit = (pid: number, value: string): void =>
  assert.equal(spawnSync("prlimit", ["--pid", String(pid), `--nproc=${value}`]).status, 0);

async function taken(name: string, ...args: string[]): Promise<string> {
  const file = join(folder, name);
  const { code, stderr } = await runCommand(["snapshot", "take", ...args, "--out", file, "--json"]);
  assert.equal(code, 0, stderr);
  return file;
}

describe("snapshot", { concurrency: 2 }, () => {
  it("takes a baseline, finds all as it was, and then what is not", async (t) => {
    const pid = startSleep(t);
    const file = join(folder, "first.json");
    const take = await runCommand(["snapshot", "take", "--pid", String(pid), "--out", file]);
    assert.equal(take.code, 0, take.stderr);
    assert.match(take.stdout, new RegExp(`sleep \\(${pid}\\) +\\d subsystems`));
    assert.match(take.stdout, /not sealed yet\. To seal it, on the machine that has the key: rimon seal sign/);
    assert.equal(statSync(file).mode & 0o777, 0o600);

    const good = await runCommand(["snapshot", "check", file]);
    assert.equal(good.code, 0, good.stdout + good.stderr);
    assert.match(good.stdout, /not sealed[^]*as it was[^]*all as it was/);

    prlimit(pid, "99:99");
    const bad = await runCommand(["snapshot", "check", file]);
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /CHANGED\n.*limits +Max processes was \S+ \S+, is 99 99\n1 of 2 not as they were/);
    const { code, stdout } = await runCommand(["snapshot", "check", file, "--json"]);
    assert.equal(code, 1);
    const [kernel, process = {}] = jsonLines(stdout);
    assert.deepEqual([kernel?.["of"], kernel?.["ok"]], ["kernel", true]);
    assert.deepEqual([process["type"], process["ok"], process["version"]], ["snapshot", false, 1]);
    const [anomaly] = process["anomalies"] as { subsystem: string; changes: { fact: string; actual: string }[] }[];
    assert.equal(anomaly?.subsystem, "limits");
    assert.deepEqual(anomaly?.changes.map(({ fact, actual }) => [fact, actual]), [["Max processes", "99 99"]]); // prettier-ignore
  });

  it("says that a process has ended since", async (t) => {
    const child = new Child("sleep", ["1000"]);
    t.after(() => child.kill("SIGKILL"));
    const file = await taken("ended.json", "--pid", String(child.pid), "--subsystem", "limits,cgroups");
    child.kill("SIGKILL");
    await child.exited;
    const { code, stdout } = await runCommand(["snapshot", "check", file]);
    assert.equal(code, 1);
    assert.match(stdout, /sleep \(\d+\) +gone: it has ended since; take a new baseline/);
  });

  it("believes a sealed one only by the keys that it is given", async (t) => {
    const pid = startSleep(t);
    const file = await taken("sealed.json", "--pid", String(pid));
    const [key, other] = [join(folder, "key.pem"), join(folder, "other.pem")];
    for (const each of [key, other]) assert.equal((await runCommand(["seal", "keygen", each])).code, 0);
    const sealed = join(folder, "sealed.dsse");
    const sign = await runCommand(["seal", "sign", file, "--key", key, "--out", sealed]);
    assert.equal(sign.code, 0, sign.stderr);

    const good = await runCommand(["snapshot", "check", sealed, "--public-key", `${key}.pub`, `${other}.pub`]);
    assert.equal(good.code, 0, good.stdout + good.stderr);
    assert.match(good.stdout, /sealed by [0-9a-f]{16}/);

    const refused = async (path: string, ...args: string[]): Promise<string> => {
      const { code, stdout } = await runCommand(["snapshot", "check", path, "--json", ...args]);
      assert.equal(code, 1, stdout);
      const [record] = jsonLines(stdout);
      assert.equal(record?.["type"], "snapshot-refused");
      return String(record?.["code"]);
    };
    assert.equal(await refused(sealed, "--public-key", `${other}.pub`), "wrong-key");
    assert.equal(await refused(sealed, "--public-key", `${key}.pub`, `${other}.pub`, "--threshold", "2"), "below-threshold"); // prettier-ignore
    assert.equal(await refused(file, "--public-key", `${key}.pub`), "not-an-envelope");
    const tampered = join(folder, "tampered.dsse");
    const { payload, ...rest } = JSON.parse(readFileSync(sealed, "utf8")) as { payload: string };
    const statement = Buffer.from(payload, "base64").toString().replace("Max processes", "Max processed");
    writeFileSync(tampered, JSON.stringify({ ...rest, payload: Buffer.from(statement).toString("base64") }));
    assert.equal(await refused(tampered, "--public-key", `${key}.pub`), "wrong-key");
    // Not sealed, a change of the file is no secret either: the digests do not fit.
    const changed = join(folder, "changed.json");
    writeFileSync(changed, readFileSync(file, "utf8").replace("Max processes", "Max processed"));
    assert.equal(await refused(changed), "wrong-predicate");
    // Nor is one that is not sealed believed of another machine, or beyond its time.
    const { machine } = (JSON.parse(readFileSync(file, "utf8")) as { predicate: { machine: { id: string } } })
      .predicate;
    const rewritten = async (from: string, to: string): Promise<string> => {
      const text = readFileSync(file, "utf8");
      assert.ok(text.includes(from));
      writeFileSync(changed, text.replace(from, to));
      return refused(changed);
    };
    assert.equal(await rewritten(machine.id, "ab".repeat(32)), "other-machine");
    assert.equal(await rewritten('"madeBy"', '"expires":"2100-01-01T00:00:00Z","createdAt":"2099-01-01T00:00:00Z","madeBy"'), "not-yet"); // prettier-ignore
    assert.equal(await rewritten(/"createdAt":"[^"]*"/.exec(readFileSync(file, "utf8"))?.[0] ?? "?", '"createdAt":"2020-01-01T00:00:00Z","expires":"2020-02-01T00:00:00Z"'), "expired"); // prettier-ignore

    const unnamed = await runCommand(["snapshot", "check", sealed]);
    assert.equal(unnamed.code, 2);
    assert.match(unnamed.stderr, /is sealed: name the keys/);
  });

  it("watches until it is ended, and tells a change once, and that it is gone", async (t) => {
    const pid = startSleep(t);
    prlimit(pid, "500:1000");
    const file = await taken("watched.json", "--pid", String(pid));
    const watch = startProgram(main, ["snapshot", "watch", file, "--interval", "1", "--json"]);
    t.after(() => watch.kill("SIGKILL"));
    const isOfProcess = (line: string, ok: boolean): boolean => {
      const record = JSON.parse(line) as { of: string; ok: boolean };
      return record.of !== "kernel" && record.ok === ok;
    };
    const next = (ok: boolean): Promise<string> => watch.lines.waitFor((line) => isOfProcess(line, ok), 30_000);
    prlimit(pid, "499:1000");
    await next(false);
    prlimit(pid, "500:1000");
    await next(true);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    watch.kill("SIGTERM");
    assert.deepEqual(await watch.exited, { code: 1, signal: null });
    assert.equal(watch.lines.items.filter((line) => isOfProcess(line, true) || isOfProcess(line, false)).length, 2);
  });

  it("says what is wrong with what it is asked for", async () => {
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [["take", "--pid", "0"], /expected a whole number of at least 1, got "0"/],
      [["take", "--pid", "4194304"], /there is no process 4194304/],
      [["take", "--subsystem", "limit"], /there is no subsystem "limit"; expected one of memory-maps, /],
      [["take", "--subsystem", "limits"], /give --pid or --all-protected/],
      [["take", "--out", join(folder, "none", "x")], /cannot be written: ENOENT/],
      [["check", join(folder, "none")], /cannot be read: ENOENT/],
      [["check", folder], /cannot be read: it is not a regular file/],
      [["watch", join(folder, "none"), "--interval", "x"], /expected a whole number of at least 1, got "x"/],
      [["check", join(folder, "none"), "--public-key", folder], /cannot be read/],
    ];
    for (const [args, says] of wrong) {
      const { code, stderr } = await runCommand(["snapshot", ...args]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, says);
    }
  });
});

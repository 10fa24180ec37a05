import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseResult } from "../../src/bench/result.ts";
import { runCommand } from "../fixtures/command.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const folder = temporaryDirectory("bench");
const json = join(folder, "result.json");
const html = join(folder, "result.html");
const rimon = (...args: string[]) => runCommand(["bench", ...args], {});

describe("rimon bench", () => {
  it("measures what is named, shows it, and keeps it", async () => {
    const run = await rimon("--quick", "--only", "spine", "--json", json, "--html", html, "--check");
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stdout, /^spine /m);
    assert.match(run.stdout, /a process that is as it was +[\d.]+ µs/);
    const result = parseResult(readFileSync(json, "utf8"), json);
    assert.deepEqual([result.quick, result.benches], [true, ["spine"]]);
    assert.ok(
      result.figures.length > 5 && result.figures.every(({ id, value }) => id.startsWith("spine/") && value > 0),
    );
    assert.match(readFileSync(html, "utf8"), /^<!doctype html>/);
  });

  it("says what moved since an earlier run", async () => {
    const before = parseResult(readFileSync(json, "utf8"), json);
    const old = join(folder, "old.json");
    const faster = before.figures.map((figure) => ({ ...figure, value: 1e-9, low: 1e-9, high: 1e-9 }));
    writeFileSync(old, JSON.stringify({ ...before, figures: faster }));
    const { code, stdout } = await rimon("--quick", "--only", "spine", "--compare", old);
    assert.equal(code, 0);
    assert.match(stdout, /worse +a process that is as it was/);
  });

  it("names a bench that there is not, and a file that is no result, before anything is measured", async () => {
    const unknown = await rimon("--only", "speed");
    assert.deepEqual([unknown.code, unknown.stdout], [2, ""]);
    assert.match(unknown.stderr, /^RIMON_USAGE: there is no bench "speed"; expected one of crypto, scan, /);
    const other = await rimon("--compare", html);
    assert.equal(other.code, 2);
    assert.match(other.stderr, /^RIMON_USAGE: .*result\.html: expected the JSON that rimon bench --json writes/);
  });

  it("says before anything is measured that the result cannot be kept", async () => {
    for (const [path, why] of [
      [join(folder, "none", "x.json"), /x\.json cannot be written: ENOENT/],
      [folder, /cannot be written: expected a file, and it is a folder/],
    ] as const) {
      const run = await rimon("--quick", "--only", "spine", "--json", path);
      assert.deepEqual([run.code, run.stdout], [2, ""]);
      assert.match(run.stderr, why);
    }
  });
});

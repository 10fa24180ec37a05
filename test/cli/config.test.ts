import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { runCommand } from "../fixtures/command.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { ANSI } from "./commands.ts";

function configured(yaml: string): string {
  const path = join(temporaryDirectory("config"), "rimon.yaml");
  writeFileSync(path, yaml);
  return path;
}

describe("config check", () => {
  it("a file that can be used", async () => {
    const file = configured("environment: development\nmode: monitor\n");
    const { code, stdout, stderr } = await runCommand(["config", "check", file]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, new RegExp(`^fine  ${file}`));
    assert.doesNotMatch(stdout, ANSI);
  });

  it("a file that cannot names every place", async () => {
    const file = configured("mode: loud\nrules:\n  memory-reed: { severity: hgih }\n");
    const { code, stdout, stderr } = await runCommand(["config", "check", file]);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, new RegExp(`^RIMON_CONFIG: ${file}:1:\\d+: mode .*"loud"`));
    assert.match(stderr, new RegExp(`${file}:3:\\d+: .*memory-reed`));
    assert.doesNotMatch(stderr, /\n {4}at /);
  });

  it("a weakened file says what is weak, in JSON as well", async () => {
    const file = configured("environment: development\nmode: off\n");
    const told = await runCommand(["config", "check", file]);
    assert.match(told.stdout, /^weakened {2}.*mode/m);
    const {
      ok,
      weakened,
      file: name,
    } = JSON.parse((await runCommand(["config", "check", file, "--json"])).stdout) as {
      ok: boolean;
      weakened: string[];
      file: string;
    };
    assert.deepEqual([ok, name], [true, file]);
    assert.ok(weakened.length > 0);
  });
});

it("config schema is a JSON Schema", async () => {
  const { code, stdout } = await runCommand(["config", "schema"]);
  assert.equal(code, 0);
  const schema = JSON.parse(stdout) as { $schema: string; type: string; properties: Record<string, unknown> };
  assert.match(schema.$schema, /^https?:\/\/json-schema\.org\//);
  assert.equal(schema.type, "object");
  assert.ok("mode" in schema.properties && "exceptions" in schema.properties);
});

describe("config show", () => {
  const file = configured("environment: development\nalerts:\n  group: 5s\n");

  it("names the line each value comes from", async () => {
    const { code, stdout } = await runCommand(["config", "show", "--config", file]);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^environment +"development" +${file}:1:\\d+$`, "m"));
    assert.match(stdout, new RegExp(`^alerts\\.group +\\S+ +${file}:3:\\d+$`, "m"));
    assert.match(stdout, /^mode +"monitor" +default$/m);
    assert.doesNotMatch(stdout, ANSI);
  });

  it("--json gives the same", async () => {
    const { stdout } = await runCommand(["config", "show", "--config", file, "--json"]);
    const { values } = JSON.parse(stdout) as { values: { path: string; value: unknown; origin: unknown }[] };
    assert.deepEqual(values.find(({ path }) => path === "mode"), { path: "mode", value: "monitor", origin: "default" }); // prettier-ignore
  });
});

// The README's examples are programs: each is written to a file and run as it stands, with "rimon" resolved to this
// checkout through its own exports.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { DETECTORS } from "../../src/detectors/all.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const scratch = mkdtempSync(join(tmpdir(), "rimon-readme-"));

before(() => {
  mkdirSync(join(scratch, "node_modules"));
  symlinkSync(root, join(scratch, "node_modules", "rimon"), "dir");
});
after(() => rmSync(scratch, { recursive: true, force: true }));

/** The fenced block that follows `<!-- example: NAME -->`. */
function example(name: string): string {
  const block = new RegExp(`<!-- example: ${name} -->\\s*\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(readme)?.[1];
  assert.ok(block, `README.md has no example named ${name}`);
  return block;
}

async function run(name: string, extension: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const file = join(scratch, `${name}.${extension}`);
  writeFileSync(file, example(name));
  const child = spawn(process.execPath, [file], { cwd: scratch, stdio: ["ignore", "pipe", "pipe"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
  const text = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text.stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (text.stderr += chunk));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearTimeout(timer);
  return { code, ...text };
}

test("the library example reports the read it makes", async () => {
  const { code, stdout, stderr } = await run("library", "mjs");
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^critical memory-read dd/m);
});

test("the example of snapshots finds its own process as it was", async () => {
  const { code, stdout, stderr } = await run("snapshots", "mjs");
  assert.deepEqual([code, stdout], [0, "as it was\n"], stderr);
});

test("the example of files finds its own folder as it was", async () => {
  const { code, stdout, stderr } = await run("files", "mjs");
  assert.deepEqual([code, stdout], [0, "as it was true\n[]\n"], stderr);
});

test("the custody example moves the epoch on and ends", async () => {
  const { code, stdout, stderr } = await run("custody", "mjs");
  assert.equal(code, 0, stderr);
  assert.match(stdout, /epoch 8/);
});

test("the configuration example is one that rimon takes", async () => {
  const file = join(scratch, "rimon.yaml");
  writeFileSync(file, example("configuration"));
  const child = spawn(process.execPath, ["--import", "tsx", join(root, "src/cli/main.ts"), "config", "check", file], {
    cwd: root,
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  assert.equal(code, 0, stderr);
});

test("every rule is in the table of what it sees, with its severity", () => {
  const rows = new Map([...readme.matchAll(/^\| ([a-z-]+) +\| (critical|high|medium|low|info) +\|/gm)].map(([, rule, severity]) => [rule, severity])); // prettier-ignore
  for (const { rule, severity } of DETECTORS) assert.equal(rows.get(rule), severity, rule);
  assert.equal(rows.size, DETECTORS.length);
});

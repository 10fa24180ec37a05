import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { explainCommand } from "../../src/cli/explain.ts";
import { createTerminal } from "../../src/cli/terminal.ts";
import { DETECTORS } from "../../src/detectors/all.ts";
import { runCommand } from "../fixtures/command.ts";
import { ANSI } from "./commands.ts";

const SECTIONS = ["What it means", "Why it fires", "How an attacker does it", "What to do", "When it is harmless", "MITRE ATT&CK"]; // prettier-ignore

function explained(rule: string): string {
  let text = "";
  const terminal = {
    ...createTerminal(process.stdout, { NO_COLOR: "1" }),
    write: (more: string) => void (text += more),
  };
  assert.equal(explainCommand(rule, { json: false }, terminal), 0);
  return text;
}

describe("explain", () => {
  for (const { rule, severity, summary, guide } of DETECTORS) {
    it(`${rule} has every section, and names techniques that can be looked up`, () => {
      const text = explained(rule);
      assert.ok(text.startsWith(`${rule}  ${severity}\n${summary}\n`));
      const titles = text.split("\n").filter((line) => SECTIONS.includes(line));
      assert.deepEqual(titles, SECTIONS);
      for (const section of text.split("\n\n").slice(1)) assert.match(section, /^.+\n {2}\S/);
      assert.ok(guide.attack.length > 0);
      for (const { id, name } of guide.attack) {
        assert.match(id, /^T\d{4}(?:\.\d{3})?$/);
        assert.match(text, new RegExp(`^  ${id}  ${name.replaceAll(/[()]/g, "\\$&")}$`, "m"));
      }
      for (const sentence of [summary, guide.means, guide.fires, guide.attacker, guide.todo, guide.harmless])
        assert.match(sentence, /[.?]$/);
    });
  }

  it("without a rule lists them all", async () => {
    const { code, stdout } = await runCommand(["explain"]);
    assert.equal(code, 0);
    assert.deepEqual(stdout.split("\n").map((line) => line.split(" ")[0]), DETECTORS.map(({ rule }) => rule)); // prettier-ignore
    assert.doesNotMatch(stdout, ANSI);
  });

  it("--json gives the same as one object", async () => {
    const one = await runCommand(["explain", "memory-read", "--json"]);
    const all = await runCommand(["explain", "--json"]);
    const rules = JSON.parse(all.stdout) as { rule: string }[];
    assert.deepEqual(
      JSON.parse(one.stdout),
      rules.find(({ rule }) => rule === "memory-read"),
    );
    assert.equal(rules.length, DETECTORS.length);
  });
});

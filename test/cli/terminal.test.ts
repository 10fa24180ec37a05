// Colour and the status line: where a person watches, and nowhere else. The terminals of commands are made by script(1).

import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { createTerminal, table, type StyleKind, type Terminal } from "../../src/cli/terminal.ts";
import { DETECTORS } from "../../src/detectors/all.ts";
import { runCommand } from "../fixtures/command.ts";
import { ANSI, COLOUR, runOnTerminal } from "./commands.ts";

const CLEAR = "\r\u001b[K";

function opened(
  stream: { isTTY?: boolean; columns?: number },
  env: NodeJS.ProcessEnv = {},
): { terminal: Terminal; written: () => string } {
  const output = Object.assign(new PassThrough({ encoding: "utf8" }), stream) as PassThrough & NodeJS.WriteStream;
  return { terminal: createTerminal(output, env), written: () => String(output.read() ?? "") };
}

describe("table", () => {
  const cases: readonly (readonly [what: string, rows: readonly (readonly string[])[], text: string])[] = [
    ["nothing", [], ""],
    ["one cell", [["a"]], "a\n"],
    ["columns as wide as their widest cell", [["a", "b"], ["ccc", "d"]], "a    b\nccc  d\n"],
    ["no blanks at the end", [["a", ""], ["ccc", "d"]], "a\nccc  d\n"],
    ["an empty first column indents", [["", "a", "b"]], "  a  b\n"],
    ["rows of different lengths", [["a"], ["b", "c"], ["dd", "e", "f"]], "a\nb   c\ndd  e  f\n"],
    ["the last column is ragged", [["a", "long and longer"], ["b", "short"]], "a  long and longer\nb  short\n"],
    ["colour takes no room", [["\u001b[31mred\u001b[39m", "b"], ["four", "d"]], "\u001b[31mred\u001b[39m   b\nfour  d\n"],
  ]; // prettier-ignore
  for (const [what, rows, text] of cases) it(what, () => assert.equal(table(rows), text));
});

describe("the status line", () => {
  it("is replaced by the next one and by what is written", () => {
    const { terminal, written } = opened({ isTTY: true, columns: 80 });
    terminal.status("one");
    terminal.status("two");
    terminal.write("text\n");
    terminal.write("more\n");
    assert.equal(written(), `one${CLEAR}two${CLEAR}text\nmore\n`);
  });

  it("is cleared by an empty one, and only once", () => {
    const { terminal, written } = opened({ isTTY: true, columns: 80 });
    terminal.status("");
    terminal.status("one");
    terminal.status("");
    terminal.status("");
    assert.equal(written(), `one${CLEAR}`);
  });

  it("never fills the last column, where it would wrap and could not be cleared", () => {
    const { terminal, written } = opened({ isTTY: true, columns: 10 });
    terminal.status("0123456789abcdef");
    assert.equal(written(), "012345678");
  });

  it("is whole on a terminal that says it has no columns", () => {
    const { terminal, written } = opened({ isTTY: true, columns: 0 });
    assert.equal(terminal.columns, 120);
    terminal.status("0123456789");
    assert.equal(written(), "0123456789");
  });

  for (const [what, stream, env] of [
    ["no terminal", {}, {}],
    ["a dumb one", { isTTY: true, columns: 80 }, { TERM: "dumb" }],
  ] as const) {
    it(`is not there on ${what}`, () => {
      const { terminal, written } = opened(stream, env);
      terminal.status("one");
      terminal.write("text\n");
      assert.equal(written(), "text\n");
    });
  }
});

describe("colour", () => {
  const cases: readonly (readonly [what: string, isTTY: boolean, env: NodeJS.ProcessEnv, color: boolean])[] = [
    ["on a terminal", true, { TERM: "xterm" }, true],
    ["with an empty NO_COLOR", true, { NO_COLOR: "" }, true],
    ["with NO_COLOR", true, { NO_COLOR: "1" }, false],
    ["with NO_COLOR=0", true, { NO_COLOR: "0" }, false],
    ["on a dumb terminal", true, { TERM: "dumb" }, false],
    ["on no terminal", false, { TERM: "xterm", FORCE_COLOR: "1" }, false],
  ];
  for (const [what, isTTY, env, color] of cases) {
    it(`${what}: ${color ? "yes" : "no"}`, () => {
      const { terminal } = opened({ isTTY, columns: 80 }, env);
      assert.equal(terminal.color, color);
      for (const kind of [
        "critical",
        "high",
        "medium",
        "low",
        "info",
        "ok",
        "bad",
        "dim",
        "bold",
      ] satisfies StyleKind[])
        assert.equal(terminal.style(kind, "text") !== "text", color, kind);
    });
  }
});

describe("rimon explain", () => {
  const rules = DETECTORS.map(({ rule }) => rule);
  const first = (line: string): string => line.replaceAll(new RegExp(COLOUR, "g"), "").split(" ")[0] ?? "";

  it("is in colour on a terminal, and else the same", async () => {
    const coloured = await runOnTerminal(["explain"]);
    assert.equal(coloured.code, 0);
    assert.ok(coloured.lines.every((line) => COLOUR.test(line)));
    assert.deepEqual(coloured.lines.map(first), rules);
  });

  for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
    it(`is plain on a terminal under ${JSON.stringify(env)}`, async () => {
      const { code, lines } = await runOnTerminal(["explain"], env);
      assert.equal(code, 0);
      assert.ok(lines.every((line) => !line.includes("\u001b")));
      assert.deepEqual(lines.map(first), rules);
    });
  }

  it("a text is filled to lines of some words on a terminal without a size", async () => {
    const { lines } = await runOnTerminal(["explain", "memory-read"]);
    assert.ok(lines.some((line) => line.length > 60));
  });

  it("is plain in a pipe, whatever FORCE_COLOR says", async () => {
    const { stdout } = await runCommand(["explain"], { env: { FORCE_COLOR: "1", NO_COLOR: undefined } });
    assert.doesNotMatch(stdout, ANSI);
  });
});

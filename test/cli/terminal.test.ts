// Colour and the status line: where a person watches, and nowhere else. The terminals are real, made by script(1).

import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import type { WriteStream } from "node:tty";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { createTerminal, table } from "../../src/cli/terminal.ts";
import { Child } from "../fixtures/child.ts";
import { runCommand } from "../fixtures/command.ts";
import { ANSI } from "./commands.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** What `rimon explain` writes to a terminal. */
async function onTerminal(env: Readonly<Record<string, string | undefined>>): Promise<string> {
  const command = `"${process.execPath}" --import "${import.meta.resolve("tsx")}" "${main}" explain memory-read`;
  const child = new Child("script", ["-qec", command, "/dev/null"], {
    env: { NO_COLOR: undefined, FORCE_COLOR: undefined, TERM: "xterm", ...env },
  });
  const { code } = await child.exited;
  assert.equal(code, 0, child.stderr);
  return child.lines.items.join("\n");
}

describe("colour", () => {
  it("on a terminal", async () => assert.match(await onTerminal({}), ANSI));
  it("with an empty NO_COLOR", async () => assert.match(await onTerminal({ NO_COLOR: "" }), ANSI));
  it("not with NO_COLOR", async () => assert.doesNotMatch(await onTerminal({ NO_COLOR: "1" }), ANSI));
  it("not on a dumb terminal", async () => assert.doesNotMatch(await onTerminal({ TERM: "dumb" }), ANSI));
  it("not in a pipe, whatever FORCE_COLOR says", async () => {
    const { stdout } = await runCommand(["explain", "memory-read"], { env: { FORCE_COLOR: "1", NO_COLOR: undefined } });
    assert.doesNotMatch(stdout, ANSI);
  });
});

function stream(isTTY: boolean): { readonly stream: WriteStream; written(): string } {
  const through = new PassThrough();
  const made = Object.assign(through, { isTTY, columns: 20 }) as unknown as WriteStream;
  return { stream: made, written: () => String(through.read() ?? "") };
}

describe("the status line", () => {
  it("makes way for what is written, is cut to the terminal, and goes", () => {
    const { stream: tty, written } = stream(true);
    const terminal = createTerminal(tty, {});
    terminal.status("watching, 2 h and much more of this");
    assert.equal(written(), "watching, 2 h and m");
    terminal.write("a finding\n");
    assert.equal(written(), "\r\u001b[Ka finding\n");
    terminal.write("another\n");
    assert.equal(written(), "another\n");
    terminal.status("watching");
    terminal.status("");
    assert.equal(written(), "watching\r\u001b[K");
  });

  it("is not there without a terminal", () => {
    const { stream: pipe, written } = stream(false);
    createTerminal(pipe, {}).status("watching");
    assert.equal(written(), "");
  });
});

describe("a table", () => {
  it("has columns as wide as what is seen of their cells", () => {
    assert.equal(
      table([["\u001b[1ma\u001b[22m", "b"], ["ccc", ""], ["", "d"]]),
      "\u001b[1ma\u001b[22m    b\nccc\n     d\n",
    ); // prettier-ignore
  });

  it("may have rows of several lengths, or none", () => {
    assert.equal(table([["a"], ["bb", "c"]]), "a\nbb  c\n");
    assert.equal(table([]), "");
  });
});

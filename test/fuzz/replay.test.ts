import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { presentFinding, presentVerdict } from "../../src/cli/present.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { RimonError } from "../../src/errors.ts";
import { replay } from "../../src/replay.ts";
import { configured } from "../detectors/configured.ts";
import { arbitraryObservation } from "./arbitrary-observation.ts";

const CONFIGURATION = configured(`protect: ["comm:vault"]\n`);
const PLAIN: Terminal = {
  isTTY: false,
  color: false,
  columns: 100,
  write() {},
  status() {},
  style: (_, text) => text,
};

/** Everything `rimon replay` does with a recording, short of writing it out. */
async function replaysOrSaysWhy(lines: readonly string[]): Promise<void> {
  async function* source(): AsyncGenerator<string> {
    yield* lines;
  }
  try {
    for await (const verdict of replay(source(), CONFIGURATION, "f")) {
      const text = presentFinding(PLAIN, verdict.finding) + presentVerdict(PLAIN, verdict);
      assert.ok(!text.includes("\u001b"), "a name of another process reached the terminal as it was");
      JSON.stringify(verdict);
    }
  } catch (thrown) {
    if (!(thrown instanceof RimonError)) throw thrown;
    assert.match(thrown.message, /^f:[1-9][0-9]*: /);
  }
}

const recording = fc.array(arbitraryObservation, { minLength: 1, maxLength: 12 });

/** Replaces one value, at any depth, by another, or takes it away. */
function withOneChanged(value: unknown, at: number, by: unknown): unknown {
  let left = at;
  function walk(node: unknown): unknown {
    if (left-- === 0) return by;
    if (Array.isArray(node)) return node.map(walk);
    if (typeof node !== "object" || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([name, each]) => [name, walk(each)]));
  }
  return walk(value);
}

test("recordings with values of other kinds replay or are refused with the line", async () => {
  const odd = fc.constantFrom<unknown>(
    undefined, null, -1, 1e308, 2 ** 53, 0.5, "", "x".repeat(5_000), "\u0000", "\u001b[2J", true, [], {}, [[]], { a: [] },
  ); // prettier-ignore
  await fc.assert(
    fc.asyncProperty(recording, fc.nat(80), odd, fc.nat(11), async (observations, at, by, index) => {
      const lines = observations.map((each) => JSON.stringify(each));
      const chosen = index % lines.length;
      lines[chosen] = JSON.stringify(withOneChanged(observations[chosen], at, by)) ?? "";
      await replaysOrSaysWhy(lines);
    }),
    { numRuns: 2_000 },
  );
});

test("recordings with bytes changed, cut and doubled replay or are refused with the line", async () => {
  const edit = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), remove: fc.nat(8), insert: fc.string({ maxLength: 8 }) }); // prettier-ignore
  await fc.assert(
    fc.asyncProperty(recording, fc.array(edit, { minLength: 1, maxLength: 4 }), async (observations, edits) => {
      let text = observations.map((each) => JSON.stringify(each)).join("\n");
      for (const { at, remove, insert } of edits) {
        const from = Math.floor(at * text.length);
        text = text.slice(0, from) + insert + text.slice(from + remove);
      }
      await replaysOrSaysWhy(text.split("\n"));
    }),
    { numRuns: 1_000 },
  );
});

test("a value nested deeper than any stack is refused", async () => {
  const deep = "[".repeat(200_000) + "]".repeat(200_000);
  await replaysOrSaysWhy([`{"kind":"sensor.lost","at":1,"sensor":"s","reason":"r","extra":${deep}}`]);
  await replaysOrSaysWhy([deep]);
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compare, type Movement } from "../../src/bench/compare.ts";
import { parseResult, type Figure } from "../../src/bench/result.ts";
import { figure, result } from "./figures.ts";

describe("a figure", () => {
  const cases: readonly (readonly [what: string, before: Figure, now: Figure, verdict: Movement["verdict"]])[] = [
    ["that fell and should be low is better", figure("a/b", 5), figure("a/b", 3), "better"],
    ["that rose and should be low is worse", figure("a/b", 3), figure("a/b", 5), "worse"],
    ["that rose and should be high is better", figure("a/b", 3), figure("a/b", 5, { better: "higher" }), "better"],
    ["that rose and is neither has moved", figure("a/b", 3), figure("a/b", 5, { better: "neither" }), "moved"],
    [
      "whose interval meets the old one is the same",
      figure("a/b", 3, { high: 4 }),
      figure("a/b", 5, { low: 4 }),
      "same",
    ],
  ];
  for (const [what, before, now, verdict] of cases)
    it(what, () =>
      assert.deepEqual(
        compare(result([before]), result([now])).movements.map((each) => each.verdict),
        [verdict],
      ),
    );
});

it("says by which factor, and says none where there is none", () => {
  const factorOf = (before: number, now: number) =>
    compare(result([figure("a/b", before)]), result([figure("a/b", now)])).movements[0]?.factor;
  assert.equal(factorOf(2, 6), 3);
  assert.equal(factorOf(0, 6), undefined);
  assert.equal(factorOf(-1, 6), undefined);
});

it("names what is gone and what is new, of benches that were run, and what makes the two hard to compare", () => {
  const before = result([figure("a/b", 1), figure("c/d", 1)]);
  const now = result([figure("a/e", 1)], { quick: true, machine: { ...before.machine, cores: 64 } });
  const { gone, added, differences } = compare(before, now);
  assert.deepEqual([gone, added], [["a/b"], ["a/e"]]);
  assert.deepEqual(differences, ["one of the two runs was quick", "cores: 2 before, 64 now"]);
});

describe("an earlier result", () => {
  it("is read again as it was written", () => {
    const written = result([figure("a/b", 1, { distribution: [1, 2] })]);
    assert.deepEqual(parseResult(JSON.stringify(written), "old.json"), written);
  });

  for (const [what, text] of [
    ["no JSON", "{"],
    ["another version", JSON.stringify({ ...result([]), version: 2 })],
    ["something else", '{"type":"finding"}'],
    ["null", "null"],
    [
      "a figure without a value",
      JSON.stringify(result([{ ...figure("a/b", 1), value: undefined } as unknown as Figure])),
    ],
  ] as const)
    it(`that is ${what} is refused by name`, () =>
      assert.throws(() => parseResult(text, "old.json"), /^RimonError: old\.json: expected/));
});

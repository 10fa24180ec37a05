import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { covers, judgeBudget, matchesId, parseBudget, readBudget, type Judgement } from "../../src/bench/budget.ts";
import { BENCHES } from "../../src/bench/all.ts";
import type { Result } from "../../src/bench/result.ts";
import { figure, leftOut, result } from "./figures.ts";

const bound = (rest: object): ReturnType<typeof parseBudget> =>
  parseBudget(JSON.stringify({ version: 1, bounds: [{ what: "it", figure: "scan/a/1", ...rest }] }));

const interval = { interval: "95 %" } as const;

describe("a bound", () => {
  const cases: readonly (readonly [what: string, bound: object, result: Result, verdict: Judgement["verdict"]])[] = [
    ["is held by what is equal to it", { atMost: 5 }, result([figure("scan/a/1", 5)]), "holds"],
    ["is broken by what is above it", { atMost: 5 }, result([figure("scan/a/1", 5.1)]), "broken"],
    ["from below is broken by what is below it", { atLeast: 5 }, result([figure("scan/a/1", 4)]), "broken"],
    ["from below is held by what is above it", { atLeast: 5 }, result([figure("scan/a/1", 6)]), "holds"],
    [
      "is unclear where it lies in the confidence interval",
      { atMost: 1 },
      result([figure("scan/a/1", 1.2, { ...interval, low: 0.9, high: 1.6 })]),
      "unclear",
    ],
    [
      "is broken where it lies outside of it",
      { atMost: 1 },
      result([figure("scan/a/1", 1.2, { ...interval, low: 1.1, high: 1.6 })]),
      "broken",
    ],
    [
      "is not made unclear by the quartiles of single runs",
      { atMost: 1 },
      result([figure("scan/a/1", 1.2, { low: 0.9, high: 1.6 })]),
      "broken",
    ],
    ["is broken by a figure that is not there", { atMost: 1 }, result([figure("scan/b/1", 1)]), "broken"],
    [
      "is not measured where that was left out by name",
      { atMost: 1 },
      result([figure("scan/b/1", 1)], { leftOut: [leftOut("scan/a")] }),
      "not measured",
    ],
    [
      "is broken where something else was left out",
      { atMost: 1 },
      result([figure("scan/b/1", 1)], { leftOut: [leftOut("scan/c")] }),
      "broken",
    ],
    [
      "is broken where the bench failed",
      { atMost: 1 },
      result([figure("scan/b/1", 1)], { leftOut: [leftOut("scan/", { failed: true })] }),
      "broken",
    ],
    [
      "for quick runs is another",
      { atMost: 1, quick: { atMost: 9 } },
      result([figure("scan/a/1", 8)], { quick: true }),
      "holds",
    ],
    [
      "for quick runs can be broken too",
      { atMost: 1, quick: { atMost: 9 } },
      result([figure("scan/a/1", 10)], { quick: true }),
      "broken",
    ],
    [
      "is for full runs alone if it says nothing of quick ones",
      { atMost: 1 },
      result([figure("scan/a/1", 8)], { quick: true }),
      "not measured",
    ],
    [
      "below another figure is broken above that one's upper end",
      { atMost: 9, below: "scan/other/1" },
      result([figure("scan/a/1", 3), figure("scan/other/1", 2, { high: 2.5 })]),
      "broken",
    ],
    [
      "below another figure is held below it",
      { atMost: 9, below: "scan/other/1" },
      result([figure("scan/a/1", 1), figure("scan/other/1", 2)]),
      "holds",
    ],
  ];
  for (const [what, rest, given, verdict] of cases)
    it(what, () =>
      assert.deepEqual(
        judgeBudget(bound(rest), given).map((each) => each.verdict),
        [verdict],
      ),
    );

  it("of a bench that was not run is not judged", () => {
    assert.deepEqual(judgeBudget(bound({ atMost: 1 }), result([figure("spine/a", 1)])), []);
  });

  it("with a * is judged for every figure", () => {
    const judged = judgeBudget(
      bound({ figure: "scan/*/1", atMost: 1 }),
      result([figure("scan/a/1", 1), figure("scan/b/1", 2), figure("scan/b/2", 9)]),
    );
    assert.deepEqual(
      judged.map(({ verdict }) => verdict),
      ["holds", "broken"],
    );
  });
});

it("ids are matched by their parts", () => {
  assert.ok(matchesId("a/*/c", "a/b/c"));
  for (const id of ["a/b", "a/b/d", "a/b/c/d"]) assert.ok(!matchesId("a/*/c", id), id);
  assert.ok(covers("scan/", "scan/a/1") && covers("scan/a", "scan/a/1") && covers("scan/*/1", "scan/*/1"));
  assert.ok(!covers("scan/a/2", "scan/a/1") && !covers("spine/", "scan/a/1"));
});

it("a budget that says something else than it should is refused", () => {
  for (const text of [
    "version: 2\nbounds: []",
    "bounds: []",
    "version: 1\nbounds: [{ figure: a, what: b, atmost: 1 }]",
  ])
    assert.throws(() => parseBudget(text), text);
});

it("the budget that ships is of benches that there are, each bound with a limit", () => {
  const names = BENCHES.map(({ name }) => name);
  for (const { figure, atMost, atLeast } of readBudget().bounds) {
    assert.ok(names.includes(figure.split("/")[0] ?? ""), figure);
    assert.ok(atMost !== undefined || atLeast !== undefined, figure);
  }
});

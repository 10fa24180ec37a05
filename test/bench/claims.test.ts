import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { claimsOf, coresNeeded, ENCRYPTION_FIGURE, HKDF_FIGURE, OWN_FIGURE, round } from "../../src/bench/claims.ts";
import type { Figure } from "../../src/bench/result.ts";
import { figure } from "./figures.ts";

const measured = (gbPerSecond: number, hkdfUs: number, ownPercent?: number): Figure[] => [
  figure(ENCRYPTION_FIGURE, gbPerSecond),
  figure(HKDF_FIGURE, hkdfUs),
  ...(ownPercent === undefined ? [] : [figure(OWN_FIGURE, ownPercent)]),
];

describe("cores needed", () => {
  it("200 Gbit/s are 25 GB/s", () => {
    const at = coresNeeded(measured(5, 4, 0.3)).find(({ gbitPerSecond }) => gbitPerSecond === 200);
    assert.deepEqual(at, { gbitPerSecond: 200, encryption: 5, keyDerivation: 0.1, rimon: 0.003 });
  });

  it("what was not measured is not 0", () => {
    assert.equal(coresNeeded(measured(5, 4))[0]?.rimon, null);
    assert.deepEqual(coresNeeded([]), []);
    assert.deepEqual(claimsOf([]), []);
  });
});

describe("claims", () => {
  const verdicts = (...figures: Parameters<typeof measured>) =>
    claimsOf(measured(...figures)).map(({ holds, verdict }) => [holds, verdict]);

  it("that do not hold say by which factor", () => {
    assert.deepEqual(verdicts(5, 4, 0.3), [
      [false, "does not hold, by a factor of 4.00"],
      [false, "does not hold, by a factor of 4.00"],
      [false, "does not hold, by a factor of 50.0"],
      [true, "holds, by a factor of 50.0"],
    ]);
  });

  it("that hold say so, and by how much where it is much", () => {
    assert.deepEqual(verdicts(250, 0.5, 0.3), [
      [true, "holds, 2.00 times better"],
      [true, "holds, 2.00 times better"],
      [true, "holds"],
      [true, "holds, by a factor of 8.00"],
    ]);
  });

  it("of the bottleneck can fail", () => {
    assert.deepEqual(verdicts(5, 4_000, 0.3)[3], [false, "does not hold, by a factor of 20.0"]);
    assert.deepEqual(verdicts(5, 4, 1_000)[3], [false, "does not hold, by a factor of 2.00"]);
    assert.equal(verdicts(5, 4)[3]?.[0], null);
  });
});

it("three digits count", () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, "0"],
    [0.012_34, "0.0123"],
    [1.005, "1.00"],
    [-12.34, "-12.3"],
    [123.4, "123"],
    [4_572_443, "4572443"],
  ];
  for (const [value, text] of cases) assert.equal(round(value), text);
});

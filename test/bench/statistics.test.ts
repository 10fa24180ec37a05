import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  exactly,
  mapped,
  median,
  quantile,
  randomFrom,
  ratioOf,
  shuffled,
  spread,
} from "../../src/bench/statistics.ts";

const samples = fc.array(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 40 });
const pairs = fc.array(
  fc.record({
    of: fc.double({ min: 0.1, max: 1e3, noNaN: true }),
    against: fc.double({ min: 0.1, max: 1e3, noNaN: true }),
  }),
  { minLength: 1, maxLength: 12 },
);

describe("quantiles", () => {
  const cases: readonly (readonly [given: readonly number[], q: number, expected: number])[] = [
    [[5], 0.5, 5],
    [[1, 2], 0.5, 1.5],
    [[3, 1, 2], 0.5, 2],
    [[1, 2, 3, 4, 5], 0, 1],
    [[1, 2, 3, 4, 5], 1, 5],
    [[1, 2, 3, 4, 5], 0.25, 2],
    [[10, 20, 30, 40], 0.75, 32.5],
    // As numbers, and not as the text that sort() takes them for.
    [[9, 10, 100], 0.5, 10],
  ];
  for (const [given, q, expected] of cases)
    it(`${q} of ${given.join(", ")} is ${expected}`, () => assert.equal(quantile(given, q), expected));

  it("of nothing there are none", () => assert.throws(() => median([]), /no samples/));

  it("lie among the samples, rise with q, and do not turn on their order", () => {
    fc.assert(
      fc.property(
        samples,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (given, a, b) => {
          const [low, high] = [quantile(given, Math.min(a, b)), quantile(given, Math.max(a, b))];
          assert.ok(low <= high);
          assert.ok(low >= Math.min(...given) && high <= Math.max(...given));
          assert.equal(quantile(given.toReversed(), a), quantile(given, a));
        },
      ),
    );
  });
});

describe("estimates", () => {
  it("a spread is the median between its quartiles", () => {
    assert.deepEqual(spread([1, 2, 3, 4, 100]), { value: 3, low: 2, high: 4, n: 5 });
    assert.deepEqual(exactly(7), { value: 7, low: 7, high: 7, n: 1 });
  });

  it("an interval that is turned round has its lower end first", () => {
    assert.deepEqual(
      mapped({ value: 2, low: 1, high: 4, n: 3 }, (value) => 8 / value),
      { value: 4, low: 2, high: 8, n: 3 },
    );
  });
});

describe("ratios of pairs", () => {
  it("are those of pairs and not of medians: what disturbs both disturbs neither", () => {
    const { value, low, high } = ratioOf([1, 50, 2, 900].map((against) => ({ of: against * 1.5, against })));
    assert.deepEqual([value, low, high], [1.5, 1.5, 1.5]);
  });

  it("one that cannot be told from 1 has 1 in its interval; one that can has not", () => {
    const random = randomFrom(7);
    const noisy = (factor: number) =>
      Array.from({ length: 25 }, () => ({
        of: factor * (1 + (random() - 0.5) * 0.2),
        against: 1 + (random() - 0.5) * 0.2,
      }));
    const same = ratioOf(noisy(1));
    assert.ok(same.low < 1 && same.high > 1, JSON.stringify(same));
    const slower = ratioOf(noisy(1.5));
    assert.ok(slower.low > 1.3 && slower.high < 1.7, JSON.stringify(slower));
  });

  it("lie in their interval, which lies among the ratios, and are the same each time", () => {
    fc.assert(
      fc.property(pairs, (given) => {
        const { value, low, high, n } = ratioOf(given);
        const ratios = given.map(({ of, against }) => of / against);
        assert.equal(n, given.length);
        assert.ok(low <= value && value <= high);
        assert.ok(low >= Math.min(...ratios) && high <= Math.max(...ratios));
        assert.deepEqual(ratioOf(given), { value, low, high, n });
      }),
      { numRuns: 50 },
    );
  });

  it("do not turn on the unit", () => {
    fc.assert(
      fc.property(pairs, (given) => {
        const kilo = ratioOf(given.map(({ of, against }) => ({ of: of * 1_024, against: against * 1_024 })));
        assert.deepEqual(kilo, ratioOf(given));
      }),
      { numRuns: 50 },
    );
  });
});

describe("chance", () => {
  it("is even, from 0 to below 1, and the same from the same seed", () => {
    const random = randomFrom(1);
    const drawn = Array.from({ length: 10_000 }, random);
    assert.ok(drawn.every((each) => each >= 0 && each < 1));
    assert.ok(Math.abs(drawn.reduce((sum, each) => sum + each, 0) / drawn.length - 0.5) < 0.02);
    const again = randomFrom(1);
    assert.deepEqual(drawn.slice(0, 5), Array.from({ length: 5 }, again));
    assert.notEqual(randomFrom(2)(), drawn[0]);
  });

  it("shuffles without losing any", () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), fc.nat(), (items, seed) => {
        const order = (a: number, b: number) => a - b;
        assert.deepEqual(shuffled(items, randomFrom(seed)).toSorted(order), items.toSorted(order));
      }),
    );
  });
});

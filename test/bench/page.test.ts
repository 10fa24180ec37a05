import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { coresNeeded, ENCRYPTION_FIGURE, HKDF_FIGURE } from "../../src/bench/claims.ts";
import { pageOf } from "../../src/bench/page.ts";
import { apart, logTicks, scale, ticks } from "../../src/bench/plot.ts";
import { figure, leftOut, result } from "./figures.ts";

const distribution = Array.from({ length: 101 }, (_, percent) => 0.4 + percent / 100);
const figures = [
  figure(ENCRYPTION_FIGURE, 4),
  figure("crypto/encrypt/1024/one-core", 2),
  figure(HKDF_FIGURE, 4),
  ...[100, 1_000, 10_000].flatMap((amount) => [
    figure(`scan/rimon/cpu/${amount}`, 0.4),
    figure(`scan/twin/cpu/${amount}`, 12),
  ]),
  ...["finding", "synced", "alert"].map((stage) =>
    figure(`latency/event/proc-mem/${stage}/p50`, 0.9, { distribution }),
  ),
  figure("overhead/redis/monitor", 0.4, { interval: "95 %", low: -0.3, high: 1.1 }),
  figure("overhead/redis/strace", 97, { interval: "95 %" }),
];

describe("the page", () => {
  const page = pageOf(result(figures, { cores: coresNeeded(figures) }), []);

  it("has every plot that there are figures for", () => {
    const titles = [...page.matchAll(/<svg [^>]*aria-label="([^"]+)"/g)].map(([, title]) => title);
    assert.deepEqual(titles, [
      "Cores needed by line rate",
      "AES-256-GCM by size of the message",
      "CPU per process of one pass over the process table",
      "From the act to the finding, the audit record and the alert",
      "Throughput lost by others",
    ]);
  });

  it("places everything somewhere", () => assert.doesNotMatch(page, /NaN|Infinity|undefined/));

  it("asks for nothing from elsewhere", () => assert.doesNotMatch(page, /<script|<link|<img|@import|url\(|https?:/));

  it("is whole without any figure", () => assert.doesNotMatch(pageOf(result([]), []), /<svg|NaN|undefined/));

  it("shows words as they are, whatever they are", () => {
    const nasty = `<img src=x onerror="x">&'`;
    const shown = pageOf(
      result([figure("scan/rimon/cpu/100", 1, { label: nasty })], {
        leftOut: [leftOut("scan/", { what: nasty, why: nasty })],
        warnings: [nasty],
      }),
      [{ id: "scan/a", what: nasty, bound: nasty, verdict: "not measured", why: nasty }],
    );
    assert.doesNotMatch(shown, /<img/);
  });
});

describe("axes", () => {
  it("a scale goes from end to end", () => {
    const log = scale(1, 100, 0, 200, true);
    assert.deepEqual([log(1), log(10), log(100)], [0, 100, 200]);
    assert.equal(scale(0, 10, 5, 105)(5), 55);
  });

  it("ticks are round and lie inside", () => {
    assert.deepEqual(ticks(0, 1, 5), [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
    assert.deepEqual(logTicks(1, 100), [1, 2, 5, 10, 20, 50, 100]);
    const value = fc.double({ min: 1e-3, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(value, value, (a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b) * 1.5];
        for (const tick of ticks(from, to)) assert.ok(tick >= from * 0.999 && tick <= to * 1.001, `${tick}`);
        assert.ok(ticks(from, to).length <= 20);
        for (const tick of logTicks(from, to)) assert.ok(tick >= from * 0.99 && tick <= to * 1.01, `${tick}`);
      }),
    );
  });

  it("labels keep their distance and their order", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 9 }), (places) => {
        const moved = apart(places, 16).toSorted((a, b) => a - b);
        for (const [index, place] of moved.entries()) if (index > 0) assert.ok(place - (moved[index - 1] ?? 0) >= 16);
      }),
    );
  });
});

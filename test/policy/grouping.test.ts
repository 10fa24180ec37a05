import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import type { Finding } from "../../src/finding.ts";
import { createGroups, GRAVITIES, groupKey, type Gravity } from "../../src/policy/grouping.ts";

test("the first is told, repeats are counted and told when due", () => {
  const groups = createGroups(1000);
  assert.deepEqual(groups.admit("k", "high", 0, "a"), { first: true });
  assert.deepEqual(groups.admit("k", "high", 100, "b"), { first: false, of: "a" });
  assert.deepEqual(groups.admit("k", "high", 999, "c"), { first: false, of: "a" });
  assert.deepEqual(groups.tick(999), []);
  assert.deepEqual(groups.tick(1000), [{ key: "k", first: "a", count: 2, total: 3 }]);
  assert.deepEqual(groups.tick(1500), []);
  assert.deepEqual(groups.admit("k", "high", 1600, "d"), { first: false, of: "a" });
  assert.deepEqual(groups.tick(1999), []);
  assert.deepEqual(groups.tick(2000), [{ key: "k", first: "a", count: 1, total: 4 }]);
});

test("a group is forgotten when it has been quiet for as long", () => {
  const groups = createGroups(1000);
  groups.admit("k", "high", 0, "a");
  groups.admit("k", "high", 500, "b");
  groups.tick(1000);
  assert.equal(groups.size, 1);
  assert.deepEqual(groups.tick(1499), []);
  assert.equal(groups.size, 1);
  assert.deepEqual(groups.tick(1500), []);
  assert.equal(groups.size, 0);
  assert.deepEqual(groups.admit("k", "high", 1501, "c"), { first: true });
});

test("without a tick in between a quiet group is opened anew, unless it has repeats to tell", () => {
  const groups = createGroups(1000);
  groups.admit("quiet", "high", 0, "a");
  assert.deepEqual(groups.admit("quiet", "high", 1000, "b"), { first: true });
  groups.admit("busy", "high", 0, "a");
  groups.admit("busy", "high", 1, "b");
  assert.deepEqual(groups.admit("busy", "high", 5000, "c"), { first: false, of: "a" });
  assert.deepEqual(groups.tick(5000), [{ key: "busy", first: "a", count: 2, total: 3 }]);
});

test("different keys do not count for one another", () => {
  const groups = createGroups(1000);
  assert.deepEqual(groups.admit("k", "high", 0, "a"), { first: true });
  assert.deepEqual(groups.admit("l", "high", 0, "b"), { first: true });
  assert.deepEqual(groups.tick(1000), []);
});

test("too many groups push the longest quiet one out, and what it had to tell is counted", () => {
  const groups = createGroups(1000, 2);
  groups.admit("k", "high", 0, "a");
  groups.admit("l", "high", 1, "b");
  groups.admit("l", "high", 2, "c");
  groups.admit("k", "high", 3, "d");
  assert.deepEqual(groups.admit("m", "high", 4, "e"), { first: true });
  assert.equal(groups.size, 2);
  assert.deepEqual(groups.evicted, { groups: 1, repeats: 1 });
  assert.deepEqual(groups.admit("k", "high", 5, "f"), { first: false, of: "a" });
});

test("a clock that is set back delays a summary by one period, not by the difference", () => {
  const groups = createGroups(1000);
  groups.admit("k", "high", 1_000_000, "a");
  groups.admit("k", "high", 10, "b");
  assert.deepEqual(groups.tick(20), []);
  assert.deepEqual(groups.tick(1020), [{ key: "k", first: "a", count: 1, total: 2 }]);
});

test("a graver finding is told, and then repeats what it opened with all that is no graver", () => {
  const groups = createGroups(1000);
  assert.deepEqual(groups.admit("k", "medium", 0, "a"), { first: true });
  assert.deepEqual(groups.admit("k", "low", 1, "b"), { first: false, of: "a" });
  assert.deepEqual(groups.admit("k", "critical", 2, "c"), { first: true });
  assert.deepEqual(groups.admit("k", "medium", 3, "d"), { first: false, of: "c" });
  assert.deepEqual(groups.admit("k", "critical", 4, "e"), { first: false, of: "c" });
  assert.deepEqual(groups.admit("k", "high", 5, "f"), { first: false, of: "c" });
  assert.deepEqual(groups.tick(1002), [
    { key: "k", first: "a", count: 1, total: 2 },
    { key: "k", first: "c", count: 3, total: 4 },
  ]);
});

test("when the graver one has gone quiet, what it hid is told again", () => {
  const groups = createGroups(1000);
  groups.admit("k", "medium", 0, "a");
  groups.admit("k", "critical", 10, "b");
  groups.tick(1010);
  assert.equal(groups.size, 0);
  assert.deepEqual(groups.admit("k", "medium", 1020, "c"), { first: true });
  // Without a tick in between.
  groups.admit("l", "medium", 0, "a");
  groups.admit("l", "critical", 10, "b");
  assert.deepEqual(groups.admit("l", "medium", 1010, "c"), { first: true });
});

test("what nothing excuses any more is told, however often it was excused", () => {
  const groups = createGroups(1000);
  assert.deepEqual(groups.admit("k", "excused", 0, "a"), { first: true });
  assert.deepEqual(groups.admit("k", "excused", 1, "b"), { first: false, of: "a" });
  assert.deepEqual(groups.admit("k", "info", 2, "c"), { first: true });
  assert.deepEqual(groups.admit("k", "excused", 3, "d"), { first: false, of: "c" });
});

test("at the end all that was not told is, and the next finding is a first one", () => {
  const groups = createGroups(1000);
  groups.admit("k", "high", 0, "a");
  groups.admit("k", "high", 1, "b");
  groups.admit("l", "high", 2, "c");
  assert.deepEqual(groups.end(), [{ key: "k", first: "a", count: 1, total: 2 }]);
  assert.equal(groups.size, 0);
  assert.deepEqual(groups.end(), []);
  assert.deepEqual(groups.admit("k", "high", 3, "d"), { first: true });
});

test("every repeat is told once or counted as evicted", () => {
  const step = fc.record({ key: fc.constantFrom("a", "b", "c", "d"), gravity: fc.constantFrom(...GRAVITIES), wait: fc.nat(700), tick: fc.boolean() }); // prettier-ignore
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 4 }), (steps, most) => {
      const groups = createGroups(1000, most);
      let at = 0;
      let repeats = 0;
      let told = 0;
      for (const { key, gravity, wait, tick } of steps) {
        at += wait;
        if (!groups.admit(key, gravity, at, `${at}`).first) repeats += 1;
        if (tick) for (const summary of groups.tick(at)) told += summary.count;
        assert.ok(groups.size <= most);
      }
      for (const summary of groups.tick(at + 1000)) told += summary.count;
      assert.equal(told + groups.evicted.repeats, repeats);
      assert.equal(groups.size, 0);
    }),
  );
});

test("a repeat is of its own key and never graver than what it repeats", () => {
  const step = fc.record({
    key: fc.constantFrom("a", "b"),
    gravity: fc.constantFrom(...GRAVITIES),
    wait: fc.nat(700),
    tick: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 12 }), (steps, most) => {
      const groups = createGroups(1000, most);
      const openings = new Map<string, { readonly key: string; readonly gravity: Gravity; total: number }>();
      let at = 0;
      const tell = () => {
        for (const { key, first, total } of groups.tick(at)) {
          assert.equal(openings.get(first)?.key, key);
          assert.equal(openings.get(first)?.total, total);
        }
      };
      for (const [index, { key, gravity, wait, tick }] of steps.entries()) {
        at += wait;
        const admitted = groups.admit(key, gravity, at, `${index}`);
        if (admitted.first) openings.set(`${index}`, { key, gravity, total: 1 });
        else {
          const opening = openings.get(admitted.of);
          assert.ok(
            opening !== undefined &&
              opening.key === key &&
              GRAVITIES.indexOf(opening.gravity) >= GRAVITIES.indexOf(gravity),
          );
          opening.total += 1;
        }
        if (tick) tell();
      }
      at += 1000;
      tell();
    }),
  );
});

test("a group is one rule, suspect, target, operation and subject", () => {
  const finding: Finding = {
    type: "finding",
    version: 1,
    id: "01",
    time: "2026-11-20T12:00:00.000Z",
    node: "n",
    rule: "memory-read",
    severity: "critical",
    technique: "proc-mem",
    operation: "read",
    sensor: "files",
    suspect: { pid: 7, startTime: 1, comm: "gdb" },
    target: { pid: 9, startTime: 2, comm: "vault" },
    tenants: [],
    message: "m",
    count: 1,
    evidence: [],
  };
  const key = groupKey(finding);
  // How grave it is admit() is told beside the key.
  assert.equal(groupKey({ ...finding, id: "02", message: "n", severity: "low" }), key);
  const others: Finding[] = [
    { ...finding, rule: "ptrace-attach" },
    { ...finding, operation: "open" },
    { ...finding, subject: "x" },
    { ...finding, suspect: { pid: 7, startTime: 8, comm: "gdb" } },
    { ...finding, target: { pid: 8, startTime: 2, comm: "vault" } },
  ];
  const { suspect: _, ...unknown } = finding;
  assert.equal(new Set([key, groupKey(unknown), ...others.map(groupKey)]).size, others.length + 2);
});

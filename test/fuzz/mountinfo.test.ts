import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { procfsMounts } from "../../src/sensors/procfs-mounts.ts";

test("random text gives mounts with a device and paths, or none", () => {
  const word = fc.oneof(
    fc.constantFrom(" - ", "proc", "/", "0:23", "\\040", "\\0", "\\777", " ", "\n", "36", "rw,nosuid", "shared:1"),
    fc.string({ maxLength: 5 }),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 60 }), (words) => {
      for (const { device, paths } of procfsMounts(words.join(""))) {
        assert.equal(typeof device, "string");
        assert.ok(paths.length > 0 && paths.every((path) => typeof path === "string"));
      }
    }),
    { numRuns: 2_000 },
  );
});

test("the live table with any one character changed is still a table", () => {
  const text = readFileSync("/proc/self/mountinfo", "utf8");
  fc.assert(
    fc.property(fc.nat(text.length), fc.string({ maxLength: 2 }), (at, by) => {
      const changed = procfsMounts(text.slice(0, at) + by + text.slice(at + 1));
      assert.ok(changed.length <= procfsMounts(text).length + 1);
    }),
    { numRuns: 1_000 },
  );
});

// What the exec gate takes from outside besides its table (native_fuzz.c has that): mount tables, lists, its own state.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { compileGateTable, FILESYSTEMS } from "../../src/baselines/gate-table.ts";
import type { GateRule } from "../../src/configuration.ts";
import { digestsIn } from "../../src/exec-gate.ts";
import { requireFilesAddon } from "../../src/native.ts";
import { decodeRecords } from "../../src/records.ts";
import { readGateState } from "../../src/sensors/exec-gate.ts";
import { mountsIn } from "../../src/mountinfo.ts";
import { wantedMarks } from "../../src/sensors/gate-mounts.ts";
import { TABLE } from "../fixtures/gate.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const folder = temporaryDirectory("fuzz-gate");
const LINE = fc.constantFrom(
  "24 22 0:22 / /tmp rw - tmpfs tmpfs rw",
  "26 24 0:31 / /tmp/fuse rw - fuse.x x rw",
  "27 24 0:32 / /tmp/over rw - overlay x rw",
  "25 24 0:30 / /tmp/a\\040b rw shared:1 - tmpfs tmpfs rw",
  "- - -",
  "",
  "x",
);

test("whatever the mount table says, nothing is marked but what is named or below", () => {
  const text = fc.array(fc.oneof(LINE, fc.string()), { maxLength: 20 }).map((lines) => lines.join("\n"));
  fc.assert(
    fc.property(
      text,
      text,
      fc.constantFrom("/", "/tmp", "/usr"),
      fc.boolean(),
      fc.boolean(),
      (own, other, path, below, foreign) => {
        const { marks } = wantedMarks(
          [{ path, mode: "audit", opens: false, below }],
          [
            { namespace: 0, pid: 0, foreign: false, mounts: mountsIn(own) },
            { namespace: 5, pid: 7, foreign, mounts: mountsIn(other) },
          ],
        );
        for (const mark of marks) {
          assert.ok(mark.path === path || (below && (path === "/" || mark.path.startsWith(`${path}/`))));
          assert.ok(mark.namespace === 0 || below);
          assert.equal(mark.pid, mark.namespace === 0 ? 0 : 7);
          assert.ok(!mark.type.startsWith("fuse") && !(mark.type === "overlay" && foreign && mark.namespace !== 0));
        }
        assert.equal(new Set(marks.map(({ device }) => device)).size, marks.length);
      },
    ),
  );
});

test("a list gives digests or a line", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^([0-9a-f]{62,66}[ \n#]?)*$/)), (text) => {
      try {
        for (const digest of digestsIn(text)) assert.match(digest, /^[0-9a-f]{64}$/);
      } catch (thrown) {
        assert.match((thrown as Error).message, /^line \d+ must begin with 64/);
      }
    }),
  );
});

test("whatever was kept, it is read as how the gate stood or not at all", () => {
  const file = join(folder, "state");
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      writeFileSync(file, text);
      const state = readGateState(file);
      assert.ok(state === undefined || Number.isFinite(state.aliveAt));
    }),
    { numRuns: 200 },
  );
});

test("every table that is made is taken, and none that is cut or has another byte is trusted beyond its bounds", () => {
  const path = fc.string().map((text) => `/${text}`);
  const rule = fc.record(
    {
      verdict: fc.constantFrom("allow", "deny"),
      path,
      by: path,
      owner: fc.nat(),
      uid: fc.nat(),
      filesystem: fc.constantFrom(...Object.keys(FILESYSTEMS)),
      in: fc.subarray(["known"], { minLength: 1 }),
      writableBy: fc.subarray(["owner", "group", "others"], { minLength: 1 }),
    },
    { requiredKeys: ["verdict"] },
  ) as fc.Arbitrary<GateRule>;
  const digest = fc.stringMatching(/^[0-9a-f]{64}$/);
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 6 }),
      fc.array(digest, { maxLength: 6 }),
      fc.array(path, { maxLength: 3 }),
      fc.nat(),
      fc.nat({ max: 255 }),
      (rules, digests, texts, at, byte) => {
        const sets = new Map([["known", digests]]);
        const table = compileGateTable({ ...TABLE, rules, sets, interpreters: texts, updaters: texts });
        const [record] = decodeRecords(requireFilesAddon().gateTry(table, "/bin/true", 0, "/bin/sh"));
        assert.ok(record?.kind === "gate" && (record.rule === undefined || record.rule < rules.length));
        const other = Buffer.from(table);
        other[at % table.length] = byte;
        for (const bytes of [other, table.subarray(0, at % table.length)]) {
          try {
            requireFilesAddon().gateTry(bytes, "/bin/true", 0, "/bin/sh");
          } catch (thrown) {
            assert.equal((thrown as NodeJS.ErrnoException).code, "EINVAL");
          }
        }
      },
    ),
    { numRuns: 500 },
  );
});

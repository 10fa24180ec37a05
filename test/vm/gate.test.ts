// The exec gate on the oldest kernel that has names of files and on another architecture: what is not known is refused, and
// while rimon is stopped its deputy answers. It shares rimon's memory by a clone of its own, which each architecture has its way of.

import assert from "node:assert/strict";
import { basename } from "node:path";
import { describe, test } from "node:test";
import type { Finding } from "../../src/finding.ts";
import { provideKernel } from "./kernels.ts";
import { placeOf } from "./root.ts";
import { outcomesOf, runSections } from "./sections.ts";

const SCRIPT = `
cd /tmp
mkdir gate && mount -t tmpfs gate gate || exit 1
# By any name that begins with its own it is busybox itself.
cp /bin/busybox gate/busybox-known
rimon gate learn /tmp/gate --out known.json >/dev/null || exit 1
cp gate/busybox-known gate/busybox-later
cp gate/busybox-known gate/busybox-changed && echo >>gate/busybox-changed
cat >rimon.yaml <<END
mode: enforce
environment: development
gate: { mounts: [{ path: /tmp/gate, mode: enforce }], known: [/tmp/known.json], unanswered: deny, deadline: 1s }
END
export RIMON_STATE_DIR=/tmp/state
rimon run --json --config rimon.yaml >records 2>errors & rimon=$!
told '"type":"ready"'
try() { if gate/busybox-$1 true 2>/dev/null; then echo $2 runs; else echo $2 refused; fi; }
section outcomes
try known known
try changed changed
kill -STOP $rimon
try later stopped
kill -CONT $rimon
told 'rimon stood still'
try later again
kill -TERM $rimon; wait $rimon
section findings
grep '^{"type":"finding"' records
`;

describe("the exec gate, and its deputy while rimon is stopped", () => {
  for (const kernel of ["5.10", "6.12-arm64"] as const) {
    test(kernel, async () => {
      const sections = await runSections({ kernel, script: SCRIPT });
      const said = JSON.stringify([...sections]);
      assert.deepEqual(
        outcomesOf(sections.get("outcomes")),
        { known: "runs", changed: "refused", stopped: "refused", again: "runs" },
        said,
      );
      const findings = (sections.get("findings") ?? []).map((line) => JSON.parse(line) as Finding);
      const messages = findings.map(({ rule, message }) => `${rule}: ${message}`).join("\n");
      assert.match(messages, /^exec-denied: .* was refused \/tmp\/gate\/busybox-changed: nothing allows it/m);
      assert.match(messages, /^sensor-blind: .*rimon stood still/m);
    });
  }
});

const overlaidWith = (module: string): string => `
insmod ${module} || exit 1
cd /tmp
mkdir all && mount -t tmpfs all all && mkdir all/files all/none all/over || exit 1
cp /bin/busybox all/files/busybox-known
rimon gate learn /tmp/all/files --out known.json >/dev/null || exit 1
cp all/files/busybox-known all/files/busybox-changed && echo >>all/files/busybox-changed
cat >rimon.yaml <<END
mode: enforce
environment: development
gate: { mounts: [{ path: /tmp/all, mode: enforce, below: true }], known: [/tmp/known.json] }
END
export RIMON_STATE_DIR=/tmp/state
rimon run --json --config rimon.yaml >records 2>errors & rimon=$!
told '"type":"ready"'
section outcomes
over="mount -t overlay -o lowerdir=/tmp/all/files:/tmp/all/none none /tmp/all/over || exit 1"
unshare -Urm sh -c "$over; /tmp/all/over/busybox-changed sleep 2 && echo overlaid runs || echo overlaid refused" 2>/dev/null
told '"rule":"exec-denied"'
kill -TERM $rimon; wait $rimon
section findings
grep '^{"type":"finding"' records
`;

describe("an overlay in a user namespace of somebody's own", () => {
  for (const [kernel, outcome, told] of [
    ["6.1", "runs", /^exec-denied: .* ran \/tmp\/all\/over\/busybox-changed: its file system is not checked/m],
    ["6.12", "refused", /^exec-denied: .* was refused \S+busybox-changed: nothing allows it/m],
  ] as const) {
    test(`${kernel}: what it runs is ${outcome === "runs" ? "told, since its layers have no events" : "checked by its layers"}`, async () => {
      const module = provideKernel(kernel).modules.find((path) => basename(path) === "overlay.ko");
      assert.ok(module !== undefined);
      const sections = await runSections({ kernel, script: overlaidWith(placeOf(module)), extras: [module] });
      const said = JSON.stringify([...sections]);
      assert.deepEqual(outcomesOf(sections.get("outcomes")), { overlaid: outcome }, said);
      const findings = (sections.get("findings") ?? []).map((line) => JSON.parse(line) as Finding);
      assert.match(findings.map(({ rule, message }) => `${rule}: ${message}`).join("\n"), told, said);
    });
  }
});

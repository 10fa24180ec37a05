// A write lease, which the kernel would wait for as it opens the file for the exec gate: whoever leads must not.

import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { GATE_MODE } from "../../src/native.ts";
import { compile } from "../fixtures/compile.ts";
import { knowing, openGate, run, scene } from "../fixtures/gate.ts";
import { exitOf, lineOf, start } from "./child.ts";

const REFUSED = 126;

for (const mode of ["enforce", "learn"] as const) {
  test(`a lease on a file holds up nobody: in mode ${mode} the kernel refuses that file, which is counted`, async (t) => {
    const { folder, good, evil, known } = scene(t);
    const leased = join(folder, "leased");
    copyFileSync(good, leased);
    const holder = start(t, compile("gate-lease"), [leased]);
    assert.equal(await lineOf(holder), "holds");
    const { gate } = openGate(t, folder, { ...knowing(known), deadlineMs: 500 }, GATE_MODE[mode]);
    // Read at once: of a child that has ended Node drops what nobody reads.
    const code = lineOf(start(t, "sh", ["-c", '"$0" 2>/dev/null; echo $?', leased]));
    // It was opened for the gate, or is about to be.
    assert.equal(await lineOf(holder), "asked");
    if (mode === "enforce") assert.equal(run(evil), REFUSED);
    assert.equal(run(good), 0);
    assert.equal(await code, String(REFUSED));
    const { stoodIn, unopened, unopenedError, overflows } = gate.status();
    assert.deepEqual(
      { stoodIn, unopened, unopenedError, overflows },
      { stoodIn: 0, unopened: 1, unopenedError: "EAGAIN", overflows: 0 },
    );
    holder.kill("SIGKILL");
    await exitOf(holder);
    assert.equal(run(leased), 0);
    assert.equal(gate.status().unopened, 1);
  });
}

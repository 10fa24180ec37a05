// What the exec gate adds to an exec, measured: node --import tsx test/native/gate-latency.ts [PAIRS]. Each pair is a loop
// without and one with the gate; what is printed is the median of the differences. On a tmpfs, of a copy of /bin/true.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileGateTable, type GateTable } from "../../src/baselines/gate-table.ts";
import { GATE_MODE, requireFilesAddon } from "../../src/native.ts";
import { compile } from "../fixtures/compile.ts";
import { NOBODY, TABLE, knowing, mountOf, sha256Of } from "../fixtures/gate.ts";

const ROUNDS = 300;
const PROGRAM = "/bin/true";
const pairs = Number(process.argv[2] ?? 15);
const known = knowing(sha256Of(PROGRAM));
const loop = compile("gate-loop");

const LOADS: readonly (readonly [what: string, way: "warm" | "first", uid: number, table: GateTable])[] = [
  ["warm, left to the kernel", "warm", 0, known],
  ["warm, a rule by path", "warm", 0, { ...TABLE, rules: [{ verdict: "allow", path: "/" }] }],
  ["warm, a user's own on tmpfs, read each time", "warm", NOBODY, known],
  ["first, read once", "first", 0, known],
];

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN;

for (const [what, way, uid, table] of LOADS) {
  const folder = mkdtempSync(join(tmpdir(), "rimon-gate-latency-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "mode=0777", "rimon-gate-test", folder]);
  const run = (): number => {
    const args = ["-k", "3", "60", loop, way, PROGRAM, folder, String(ROUNDS), String(uid)];
    return Number(execFileSync("timeout", args, { encoding: "utf8" }));
  };
  try {
    const bare: number[] = [];
    const added: number[] = [];
    for (let i = 0; i < pairs; i++) {
      const without = run();
      const gate = requireFilesAddon().openGate(() => undefined);
      gate.load(compileGateTable(table));
      gate.mark(0, folder, mountOf(folder), GATE_MODE.enforce, false);
      added.push(run() - without);
      bare.push(without);
      gate.close();
    }
    process.stdout.write(`${what}: +${median(added).toFixed(1)} us on ${median(bare).toFixed(0)} us, ${pairs} pairs\n`);
  } finally {
    execFileSync("umount", ["-l", folder]);
    rmSync(folder, { recursive: true });
  }
}

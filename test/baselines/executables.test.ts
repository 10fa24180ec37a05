// What the gate's table is made of: baselines that are believed, lists, rules; and what is not believed.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EXECUTABLES_BASELINE, executablesStatement } from "../../src/baselines/executables.ts";
import { compileGateTable, MAX_RULES } from "../../src/baselines/gate-table.ts";
import type { BaselineHeader } from "../../src/baselines/statement.ts";
import type { GateSettings } from "../../src/configuration.ts";
import { digestsIn, executablesBelow, loadGate } from "../../src/exec-gate.ts";
import { machineOf } from "../../src/machine.ts";
import { mountsIn } from "../../src/mountinfo.ts";
import { wantedMarks } from "../../src/sensors/gate-mounts.ts";
import { TABLE } from "../fixtures/gate.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { NOW, bytesOf, newPair, sealed, statement } from "./sealed.ts";

const [A, B] = ["aa".repeat(32), "bb".repeat(32)];
const folder = temporaryDirectory("executables");

function fileOf(name: string, bytes: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

function headerOf(rest: Partial<BaselineHeader> = {}): BaselineHeader {
  return {
    counter: 5,
    createdAt: "2026-06-01T11:00:00.000Z",
    madeBy: { rimon: "0.1.0" },
    machine: machineOf(),
    ...rest,
  };
}

const learned = (rest: Partial<BaselineHeader> = {}): Buffer =>
  bytesOf(executablesStatement(headerOf(rest), ["/bin"], [{ path: "/bin/a", sha256: A }]));

const SETTINGS: GateSettings = {
  mounts: [],
  known: [],
  publicKeys: [],
  threshold: 1,
  packages: false,
  denied: [],
  rules: [{ verdict: "allow", in: ["baseline"] }],
  otherwise: "deny",
  unanswered: "allow",
  deadlineMs: 1_000,
  maxBytes: 1_000_000,
  interpreters: [],
  upgrade: { by: [], marker: "/none", atMostMs: 1_000 },
  stateFile: "/none",
};

const pair = newPair();
const key = fileOf("key.pub", pair.key.export({ type: "spki", format: "pem" }).toString());
const otherMachine = { id: "cd".repeat(32), node: "other", kernel: "6", architecture: "x64" };

test("a baseline that is sealed is believed, from whatever machine; one that is not, from this one", async () => {
  const ofOther = sealed(learned({ machine: otherMachine }), [pair]);
  const loaded = await loadGate({ ...SETTINGS, known: [fileOf("sealed", ofOther)], publicKeys: [key] }, NOW);
  assert.deepEqual(loaded.counts, { baseline: 1, packages: 0, denied: 0 });
  const own = fileOf("own", learned());
  const { counters, table } = await loadGate({ ...SETTINGS, known: [own], denied: [fileOf("list", `${B}\n`)] }, NOW);
  assert.deepEqual(counters, { [own]: 5 });
  assert.ok(table.includes(Buffer.from(A, "hex")) && table.includes(Buffer.from(B, "hex")));
});

for (const [what, settings, message, lastCounter] of [
  [
    "of another machine, and not sealed",
    { known: [fileOf("1", learned({ machine: otherMachine }))] },
    /of the machine/,
  ],
  ["older than the one before", { known: [fileOf("2", learned())] }, /counter of at least 6/, 6],
  ["that has expired", { known: [fileOf("3", learned({ expires: "2026-06-01T11:30:00Z" }))] }, /expired/],
  ["that is empty", { known: [fileOf("4", "")] }, /.*4: /],
  ["that is gone", { known: [join(folder, "gone")] }, /a baseline was expected, and there is none/],
  ["that is a folder", { known: [folder] }, /not a regular file/],
  ["of another kind", { known: [fileOf("5", bytesOf(statement()))] }, new RegExp(EXECUTABLES_BASELINE)],
  ["sealed by somebody else", { known: [fileOf("6", sealed(learned(), [newPair()]))], publicKeys: [key] }, /6: /],
  ["not sealed where it must be", { known: [fileOf("7", learned())], publicKeys: [key] }, /7: /],
  ["with a key that is none", { publicKeys: [fileOf("8", "no key")] }, /8: /],
  ["with a list that is none", { denied: [fileOf("9", `${A}\nnonsense\n`)] }, /line 2 must begin with 64/],
] as const satisfies readonly (readonly [string, Partial<GateSettings>, RegExp, number?])[]) {
  test(`refuses a baseline ${what}`, async () => {
    const last = lastCounter === undefined || settings.known === undefined ? {} : { [settings.known[0]]: lastCounter };
    await assert.rejects(loadGate({ ...SETTINGS, ...settings }, NOW, { lastCounters: last }), {
      code: "RIMON_CONFIG",
      message,
    });
  });
}

test("of a list, what is said to people is left out", () => {
  assert.deepEqual(digestsIn(`# a\n\n ${A.toUpperCase()}  name\n${B}\n`), [A, B]);
});

test("learning finds executables, once each, and follows no link", async () => {
  const below = join(folder, "learn");
  mkdirSync(join(below, "sub"), { recursive: true });
  for (const [name, mode] of [
    ["a", 0o755],
    ["b", 0o644],
    ["sub/c", 0o711],
  ] as const) {
    // prettier-ignore
    writeFileSync(join(below, name), name);
    chmodSync(join(below, name), mode);
  }
  symlinkSync(join(below, "a"), join(below, "link"));
  symlinkSync(folder, join(below, "sub", "folder"));
  const { executables, unlearned } = await executablesBelow([below, join(below, "a"), join(below, "none")]);
  assert.deepEqual(
    executables.map(({ path }) => path),
    [join(below, "a"), join(below, "sub/c")],
  );
  assert.match(executables[0]?.sha256 ?? "", /^[0-9a-f]{64}$/);
  assert.deepEqual(
    unlearned.map(({ path }) => path),
    [join(below, "none")],
  );
});

test("a table beyond its bounds, or of names that there are not, is not made", () => {
  const tooMany = Array.from({ length: MAX_RULES + 1 }, () => ({ verdict: "allow" }) as const);
  assert.throws(() => compileGateTable({ ...TABLE, rules: tooMany }), /at most 1024 rules/);
  assert.throws(
    () => compileGateTable({ ...TABLE, rules: [{ verdict: "allow", in: ["mine"] }] }),
    /no set named "mine"/,
  );
  assert.throws(
    () => compileGateTable({ ...TABLE, rules: [{ verdict: "allow", filesystem: "ntfs" }] }),
    /no file system named "ntfs"/,
  );
});

const MOUNTINFO = `22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /tmp rw - tmpfs tmpfs rw
25 24 0:30 / /tmp/a\\040b rw - tmpfs tmpfs rw
26 22 8:2 / /srv rw - xfs /dev/sdb rw
27 22 8:2 /x /mnt rw - xfs /dev/sdb rw
28 24 0:31 / /tmp/a\\040b rw - tmpfs tmpfs rw
`;

for (const [what, mounts, expected, problems] of [
  ["a mount point, and nothing else", [{ path: "/tmp" }], ["24 /tmp audit"], []],
  [
    "what is mounted below, the last at each path",
    [{ path: "/tmp", below: true }],
    ["24 /tmp audit", "28 /tmp/a b audit"],
    [],
  ],
  [
    "the mode of the longest path",
    [
      { path: "/", below: true, mode: "enforce" },
      { path: "/tmp", mode: "learn" },
    ],
    ["24 /tmp learn", "22 / enforce", "28 /tmp/a b enforce", "26 /srv enforce"],
    [],
  ],
  ["never what is below a folder that is no mount point", [{ path: "/usr" }], [], ["nothing is mounted at /usr"]],
  ["never a procfs", [{ path: "/proc" }], [], ["what is mounted at /proc is proc"]],
] as const) {
  test(`the gate marks ${what}`, () => {
    const settings = mounts.map((mount) => ({ mode: "audit" as const, opens: false, below: false, ...mount }));
    const wanted = wantedMarks(settings, [{ namespace: 0, pid: 0, foreign: false, mounts: mountsIn(MOUNTINFO) }]);
    assert.deepEqual(
      wanted.marks.map(({ id, path, mode }) => `${id} ${path} ${mode}`),
      expected,
    );
    assert.equal(wanted.problems.length, problems.length);
    problems.forEach((problem, index) =>
      assert.ok(wanted.problems[index]?.startsWith(problem), wanted.problems[index]),
    );
  });
}

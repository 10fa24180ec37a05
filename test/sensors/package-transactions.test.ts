// What of a transaction is told when, with a package manager, a database and a clock that are made up.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { FileTouched } from "../../src/file-touched.ts";
import type { Observation } from "../../src/observation.ts";
import type { Verdict } from "../../src/sensors/package-files.ts";
import { createPackageTransactions } from "../../src/sensors/package-transactions.ts";
import { aProcess } from "../detectors/observations.ts";

function open(exe: string, says: Readonly<Record<string, Verdict>>) {
  const manager = aProcess(51, { exe, comm: "manager" });
  const told: Observation[] = [];
  const alone: string[] = [];
  const asked: string[][] = [];
  let now = 1_000_000;
  const transactions = createPackageTransactions(
    { emit: (each) => void told.push(each), now: () => now, lineage: () => [manager] },
    "file-events",
    ({ touched }) => void alone.push(touched.path),
    async (_database, paths) => {
      asked.push([...paths]);
      return { verdicts: new Map([...paths].map((path) => [path, says[path] ?? "verified"])), packages: ["tool"] };
    },
  );
  return {
    told,
    alone,
    asked,
    transactions,
    take(path: string | Buffer, change: FileTouched["change"] = "written"): boolean {
      const { pid, startTime } = manager;
      const touched = { kind: "file.touched", at: now, sensor: "file-events", change, path: String(path), folder: false, pid, startTime, count: 1 } as const; // prettier-ignore
      return transactions.take({ touched, paths: [Buffer.from(path)], below: false, out: false });
    },
    async pass(ms: number): Promise<void> {
      now += ms;
      await transactions.pass();
    },
  };
}

test("what is done just as its time is up is looked at once more: the database has it later", async () => {
  const { take, pass, alone, asked, told, transactions } = open("/usr/bin/dpkg", { "/usr/bin/late": "verified" });
  for (let n = 0; n < 15; n++) {
    assert.ok(take(`/usr/bin/early${n}`));
    await pass(4_000);
    if (n < 14) assert.equal(told.length, 0);
  }
  // The last of them is four seconds old.
  assert.deepEqual(asked, [Array.from({ length: 14 }, (_, n) => `/usr/bin/early${n}`)]);
  take("/usr/bin/late");
  await transactions.end();
  assert.deepEqual(asked[1], ["/usr/bin/early14", "/usr/bin/late"]);
  assert.deepEqual([told.map(({ kind }) => kind), alone], [["packages.changed", "packages.changed"], []]);
});

test("where the database is not read nothing is explained", async () => {
  const { take, pass, alone, told } = open("/usr/bin/pacman", {});
  assert.ok(take("/usr/bin/tool"));
  await pass(5_000);
  assert.deepEqual([told.map(({ kind }) => kind), alone], [["packages.changed"], ["/usr/bin/tool"]]);
});

test("a name that is no text is in no database, and what is not there though a package has it is not gone", async () => {
  const says = { "/usr/bin/missing": "missing", "/usr/bin/gone": "gone", "/usr/bin/unsaid": "unsaid" } as const;
  const { take, pass, alone } = open("/usr/bin/dpkg", says);
  assert.equal(take(Buffer.from([0x2f, 0xff])), false);
  for (const path of Object.keys(says)) assert.ok(take(path, "removed"));
  await pass(5_000);
  assert.deepEqual(alone, ["/usr/bin/missing", "/usr/bin/unsaid"]);
});

test("files that came and went while it worked are no change; one that was there before is", async () => {
  const { take, pass, told, alone } = open("/usr/bin/dpkg", { "/usr/lib/a": "gone", "/usr/lib/b": "gone" });
  take("/usr/lib/a", "created");
  take("/usr/lib/a", "removed");
  await pass(5_000);
  assert.deepEqual([told, alone], [[], []]);
  take("/usr/lib/b", "removed");
  await pass(5_000);
  assert.deepEqual([told.map(({ kind }) => kind), alone], [["packages.changed"], []]);
});

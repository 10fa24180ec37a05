// Whoever tries to have one program checked and another run. Each attack is first shown to work on a gate that leaves out
// what closes it (gate-naive.c), and then run against the real one.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { compile } from "../fixtures/compile.ts";
import {
  EVIL,
  NOBODY,
  disk,
  knowing,
  openGate,
  programs,
  run,
  sha256Of,
  tmpfs,
  type Programs,
} from "../fixtures/gate.ts";
import { exitOf, lineOf } from "../native/child.ts";

const TRIES_FOR_MS = 60_000;

interface Counts {
  readonly good: number;
  readonly evil: number;
  readonly refused: number;
  readonly busy: number;
  readonly failed: number;
}

interface Attack {
  readonly way: "held" | "after" | "starved" | "swap" | "mapped";
  readonly rounds: number;
  readonly uid: number;
  /** The gate that it is shown to work on; none for what works too seldom to be counted on. */
  readonly naive?: "read" | "lease" | "mtime" | "ctime" | "ignore";
  readonly naiveRounds?: number;
  /** Else a tmpfs, of which nothing is remembered. */
  readonly onDisk?: true;
}

const ATTACKS: readonly Attack[] = [
  { way: "held", rounds: 300, uid: NOBODY, naive: "read" },
  { way: "held", rounds: 300, uid: 0, naive: "read" },
  { way: "after", rounds: 300, uid: NOBODY, naive: "lease", naiveRounds: 500 },
  // On a gate of the way "lease" it works, too, and on one that holds its leases for 5 ms and no longer; but seldom.
  { way: "starved", rounds: 100, uid: NOBODY },
  { way: "swap", rounds: 20, uid: NOBODY, naive: "mtime", naiveRounds: 3 },
  { way: "swap", rounds: 20, uid: 0, naive: "mtime", naiveRounds: 3 },
  { way: "swap", rounds: 10, uid: NOBODY, naive: "mtime", naiveRounds: 3, onDisk: true },
  { way: "mapped", rounds: 10, uid: NOBODY, naive: "ignore", naiveRounds: 3, onDisk: true },
  { way: "mapped", rounds: 20, uid: NOBODY, naive: "ctime", naiveRounds: 3 },
  { way: "mapped", rounds: 20, uid: 0, naive: "ignore", naiveRounds: 3 },
];

function attack({ way, uid }: Attack, folder: string, { good, evil }: Programs, rounds: number): Counts {
  const target = join(folder, "target");
  const args = [way, target, good, evil, String(rounds), String(uid)];
  const out = execFileSync("timeout", ["-k", "3", "100", compile("gate-race"), ...args], { encoding: "utf8" });
  return JSON.parse(out) as Counts;
}

/** Some of them hit seldom, and on some machines more seldom. */
function untilItWorks(each: Attack, folder: string, made: Programs): Counts {
  const until = performance.now() + TRIES_FOR_MS;
  let counts: Counts;
  do counts = attack(each, folder, made, each.naiveRounds ?? each.rounds);
  while (counts.evil === 0 && performance.now() < until);
  return counts;
}

/** Started, and ended before this returns. */
async function withNaive<T>(folder: string, way: string, good: string, act: () => T): Promise<T> {
  const naive = spawn("timeout", ["-k", "3", "150", compile("gate-naive"), way, folder, good], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  assert.equal(await lineOf(naive), "ready");
  try {
    return act();
  } finally {
    naive.stdin.end();
    await exitOf(naive);
  }
}

for (const each of ATTACKS) {
  const { way, rounds, uid, naive, onDisk } = each;
  test(`${way}, by uid ${uid}${onDisk ? ", on a disk" : ""}: of ${rounds} none runs what was not checked`, async (t) => {
    const folder = onDisk ? disk(t) : tmpfs(t);
    const made = programs();
    if (naive !== undefined) {
      const counts = await withNaive(folder, naive, made.good, () => untilItWorks(each, folder, made));
      assert.ok(counts.evil > 0, `the attack must work on a gate of the way "${naive}", got ${JSON.stringify(counts)}`);
    }
    const { gate } = openGate(t, folder, knowing(sha256Of(made.good)));
    const counts = attack(each, folder, made, rounds);
    t.diagnostic(JSON.stringify(counts));
    assert.equal(counts.evil, 0, JSON.stringify(counts));
    assert.equal(counts.failed, 0, JSON.stringify(counts));
    assert.ok(gate.status().hashed > 0);
  });
}

/** Runs TARGET by ways that the mark of a mount does not see. */
const ELSEWHERE: readonly (readonly [name: string, script: string])[] = [
  ["a mount namespace of one's own", 'exec setpriv --reuid 65534 --regid 65534 --clear-groups unshare -Urm "$1"'],
  [
    "a bind mount",
    'mkdir "$2/bound"; unshare -m sh -c \'mount --bind "$1" "$2/bound"; "$2/bound/target"\' sh "$3" "$2"',
  ],
  [
    "a layer of an overlay",
    'mkdir "$2/low" "$2/over"; unshare -m sh -c \'mount -t overlay -o "lowerdir=$1:$2/low" none "$2/over"; "$2/over/target"\' sh "$3" "$2"',
  ],
];

for (const [name, script] of ELSEWHERE) {
  test(`what is run by ${name} is checked like all of its file system`, async (t: TestContext) => {
    const folder = tmpfs(t);
    const beside = tmpfs(t);
    const made = programs();
    const target = join(folder, "target");
    copyFileSync(made.evil, target);
    const evade = (): number => run("sh", "-c", script, "sh", target, beside, folder);
    const evaded = await withNaive(folder, "mount", made.good, evade);
    assert.equal(evaded, EVIL, "a mark of the mount must not see it");
    execFileSync("sh", ["-c", 'rmdir "$1"/* 2>/dev/null; true', "sh", beside]);
    openGate(t, folder, knowing(sha256Of(made.good)));
    assert.notEqual(evade(), EVIL);
  });
}

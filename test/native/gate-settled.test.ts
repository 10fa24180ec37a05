// What the exec gate leaves to the kernel, and what it must not: whatever can be another without a write to the file.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, statSync } from "node:fs";
import { test } from "node:test";
import type { GateRule } from "../../src/configuration.ts";
import { compile } from "../fixtures/compile.ts";
import { NOBODY, TABLE, knowing, openGate, run, scene } from "../fixtures/gate.ts";

const REFUSED = 126;

for (const { name, rule, change } of [
  {
    name: "its owner",
    rule: { verdict: "deny", owner: NOBODY },
    change: (path: string) => chownSync(path, NOBODY, NOBODY),
  },
  {
    name: "its mode",
    rule: { verdict: "deny", writableBy: ["others"] },
    change: (path: string) => chmodSync(path, 0o757),
  },
  {
    name: "an access control list",
    rule: { verdict: "deny", writableBy: ["group"] },
    change: letNobodyWrite,
  },
] satisfies { name: string; rule: GateRule; change(path: string): void }[])
  test(`a verdict by ${name} is asked for again after each change of that`, (t) => {
    const { folder, good } = scene(t);
    openGate(t, folder, { ...TABLE, rules: [rule], otherwise: "allow" });
    assert.deepEqual([run(good), run(good)], [0, 0]);
    change(good);
    assert.equal(run(good), REFUSED);
  });

/** Of an access control list the mode has the mask where the group's bits are. */
function letNobodyWrite(path: string): void {
  const entry = (tag: number, bits: number, id: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16LE(tag, 0);
    bytes.writeUInt16LE(bits, 2);
    bytes.writeUInt32LE(id, 4);
    return bytes;
  };
  const none = 0xffffffff;
  // linux/posix_acl_xattr.h: the owner, a user, the group, the mask, others.
  const list = [entry(1, 7, none), entry(2, 7, NOBODY), entry(4, 5, none), entry(16, 7, none), entry(32, 5, none)];
  const value = Buffer.concat([Buffer.from([2, 0, 0, 0]), ...list]).toString("hex");
  execFileSync(compile("set_xattr"), [path, "system.posix_acl_access", value]);
  const { uid, gid, mode } = statSync(path);
  assert.deepEqual([uid, gid, mode & 0o777], [0, 0, 0o775]);
}

test("what somebody may write to by an access control list is not left to the kernel", (t) => {
  const { folder, good, known } = scene(t);
  const { gate } = openGate(t, folder, knowing(known));
  letNobodyWrite(good);
  assert.deepEqual([run(good), run(good)], [0, 0]);
  assert.equal(gate.status().settled, 0);
});

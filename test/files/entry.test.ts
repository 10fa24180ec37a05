import assert from "node:assert/strict";
import { test } from "node:test";
import { attributeOf, compareEntry } from "../../src/baselines/files/compare.ts";
import { differenceOf, sayDifference } from "../../src/baselines/files/difference.ts";
import { comparePaths, decodeEntry, entrySize, isAtOrBelow } from "../../src/baselines/files/entry.ts";
import type { FileRule } from "../../src/baselines/files/rules.ts";
import { entryOf } from "../../src/files/scan.ts";
import { entry, xattr, type Hand } from "./entries.ts";

const GOLDEN: Hand = {
  path: "/usr/bin/ls",
  mode: 0o104755,
  inode: 7,
  size: 5,
  ctimeNs: 3n,
  rule: 2,
  target: "x",
  xattrs: Buffer.concat([
    xattr("security.capability", Buffer.from("0100000200200000000000000000000000000000", "hex")),
    xattr("user.a", Buffer.from("b"), true),
  ]),
  error: 13,
  flags: 0x8_0010,
  notes: 0b111110,
  sha256: "0123456789abcdef".repeat(4),
};

test("decodes an entry that was written by hand", () => {
  const bytes = entry(GOLDEN);
  assert.equal(entrySize(bytes, 0, bytes.length), bytes.length);
  assert.deepEqual(decodeEntry(bytes, 0, bytes.length), {
    path: Buffer.from("/usr/bin/ls"),
    rule: 2,
    error: 13,
    stat: {
      type: "file",
      mode: 0o4755,
      uid: 8,
      gid: 9,
      size: 5n,
      links: 1,
      dev: 1n,
      inode: 7n,
      rdev: 0x0103n,
      mtimeNs: 2n,
      ctimeNs: 3n,
    },
    sha256: "0123456789abcdef".repeat(4),
    target: Buffer.from("x"),
    flags: 0x8_0010,
    xattrs: [
      {
        name: "security.capability",
        value: Buffer.from("0100000200200000000000000000000000000000", "hex"),
        hashed: false,
      },
      { name: "user.a", value: Buffer.from("b"), hashed: true },
    ],
    unstable: true,
    mount: true,
    swapped: true,
    tooLarge: true,
    cut: true,
  });
  const nothing = entryOf(entry({ path: "/", have: 0 }));
  for (const field of ["stat", "sha256", "target", "flags", "xattrs"]) assert.ok(!(field in nothing), field);
});

test("an attribute in words", () => {
  const of = (hand: Partial<Hand>, attribute: Parameters<typeof attributeOf>[1]): string | undefined =>
    attributeOf(entryOf(entry({ path: "/x", ...hand })), attribute);
  const capability = (hex: string): string | undefined =>
    of({ xattrs: xattr("security.capability", Buffer.from(hex, "hex")) }, "capabilities");
  assert.equal(capability("0100000200200000000000000000000000000000"), "net_raw=ep");
  assert.equal(capability("0000000200000000002000000000000000000000"), "net_raw=i");
  assert.equal(
    capability("000000020020000000000000000100000000000000"),
    "malformed 000000020020000000000000000100000000000000",
  );
  assert.equal(
    capability("0100000300200000000000000100000000000000e8030000"),
    "net_raw,mac_override=ep of the user namespace of uid 1000",
  );
  assert.equal(
    capability("01000002000000000000000000000000000000"),
    "malformed 01000002000000000000000000000000000000",
  );
  assert.equal(capability("010000010020000000000000"), "net_raw=ep");
  assert.equal(capability("0100000200000000000000000000000000000000"), "none");
  const acl = "0200000001000600ffffffff02000700e803000004000400ffffffff10000700ffffffff20000000ffffffff";
  const list = "user::rw-,user:1000:rwx,group::r--,mask::rwx,other::---";
  assert.equal(of({ xattrs: xattr("system.posix_acl_access", Buffer.from(acl, "hex")) }, "acl"), list);
  assert.equal(
    of({ xattrs: xattr("system.posix_acl_access", Buffer.from("03000000", "hex")) }, "acl"),
    "malformed 03000000",
  );
  assert.equal(of({ xattrs: xattr("security.selinux", Buffer.from("bin_t\0")) }, "xattrs"), "security.selinux=bin_t");
  assert.equal(of({ xattrs: xattr("user.x", Buffer.from([0, 255])) }, "xattrs"), "user.x=0x00ff");
  assert.equal(of({ xattrs: xattr("user.x", Buffer.alloc(32), true) }, "xattrs"), `user.x=sha256:${"00".repeat(32)}`);
  assert.equal(of({ xattrs: Buffer.alloc(0) }, "xattrs"), undefined);
  // Extents and an index are the file system's own notes.
  assert.equal(of({ flags: 0x8_1000 }, "flags"), undefined);
  assert.equal(of({ flags: 0x30 }, "flags"), "immutable, append-only");
  assert.equal(of({ ctimeNs: 1_000_000_001n }, "ctime"), "1970-01-01T00:00:01.000000001Z");
  assert.equal(of({ ctimeNs: 0xffff_ffff_ffff_ffffn }, "ctime"), "1969-12-31T23:59:59.999999999Z");
  assert.equal(of({ ctimeNs: 0x8000_0000_0000_0000n }, "ctime"), "1677-09-21T00:12:43.145224192Z");
  assert.equal(of({ mode: 0o20600 }, "node"), "1:3");
  assert.equal(of({}, "node"), undefined);
});

test("what follows from a change is not told beside it", () => {
  const [a, b] = [entryOf(entry({ path: "/x" })), entryOf(entry({ path: "/x", mode: 0o100600, ctimeNs: 9n }))];
  assert.deepEqual(compareEntry(a, b, "immutable").map(({ attribute }) => attribute), ["mode"]); // prettier-ignore
  const c = entryOf(entry({ path: "/x", ctimeNs: 9n }));
  assert.deepEqual(compareEntry(a, c, "immutable").map(({ attribute }) => attribute), ["ctime"]); // prettier-ignore
  assert.deepEqual(compareEntry(a, c, "config"), []);
  // What could not be read before, or cannot now, is no change of the file.
  const d = entryOf(entry({ path: "/x", have: 1 }));
  assert.deepEqual(compareEntry(a, d, "everything"), []);
});

test("what is told of a path", () => {
  const rules: readonly FileRule[] = [{ path: "/x", group: "immutable" }];
  const of = (before: Partial<Hand> | undefined, after: Partial<Hand> | undefined): string | undefined => {
    const [left, right] = [before, after].map((hand) =>
      hand === undefined ? undefined : entryOf(entry({ path: "/x", ...hand })),
    );
    const found = differenceOf(left, right, rules);
    return found === undefined ? undefined : sayDifference(found);
  };
  assert.equal(of({}, {}), undefined);
  assert.equal(of(undefined, {}), "/x was added");
  assert.equal(of({}, undefined), "/x was removed");
  assert.equal(of({}, { error: 13 }), "/x is unreadable: EACCES");
  assert.equal(of({ error: 13 }, { error: 13 }), undefined);
  assert.equal(of({}, { error: 999, have: 0 }), "/x is unreadable: errno 999");
  assert.equal(
    of({}, { notes: 2, sha256: "11".repeat(32) }),
    "/x is unstable: it was being written each time it was read",
  );
  assert.equal(
    of({}, { sha256: "11".repeat(32) }),
    `/x changed: content was sha256 ${"0".repeat(16)}, is ${"1".repeat(16)}`,
  );
  assert.equal(of({}, { flags: 0x10 }), "/x changed: flags is immutable, there was none");
  assert.equal(of({ flags: 0x10 }, {}), "/x changed: flags was immutable, there is none");
});

test("paths are in the order of a walk, and below what they are below", () => {
  const paths = ["/", "/a", "/a/x", "/a/x/y", "/a b", "/a!", "/a-b", "/a.b", "/ab", "/b"].map((path) =>
    Buffer.from(path),
  );
  for (const [i, a] of paths.entries()) {
    for (const [j, b] of paths.entries())
      assert.equal(Math.sign(comparePaths(a, 0, a.length, b, 0, b.length)), Math.sign(i - j), `${a} ${b}`);
  }
  const below = (path: string, root: string): boolean => isAtOrBelow(Buffer.from(path), Buffer.from(root));
  assert.deepEqual(
    [below("/a", "/a"), below("/a/b", "/a"), below("/ab", "/a"), below("/a", "/a/b"), below("/x", "/")],
    [true, true, false, false, true],
  );
});

import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { describe, it } from "node:test";
import { procfsMounts } from "../../src/sensors/mountinfo.ts";

const PROC = "23 28 0:22 / /proc rw,nosuid shared:12 - proc proc rw";

describe("procfs in a mount table", () => {
  const cases: readonly (readonly [what: string, text: string, mounts: readonly (readonly [string, string])[]])[] = [
    ["one", PROC, [["0:22", "/proc"]]],
    ["without optional fields", "23 28 0:22 / /proc rw - proc proc rw", [["0:22", "/proc"]]],
    ["with several optional fields", "23 28 0:22 / /p rw shared:1 master:2 - proc none rw", [["0:22", "/p"]]],
    ["other file systems", "24 28 0:23 / /sys rw - sysfs proc rw\n25 1 8:1 / / rw - ext4 /dev/sda1 rw", []],
    ["a file of procfs bound elsewhere", "26 28 0:22 /sys/kernel /x rw - proc proc rw", []],
    ["the same superblock twice", `${PROC}\n40 28 0:22 / /mnt/proc rw - proc proc rw`, [["0:22", "/proc"]]],
    ["two superblocks", `${PROC}\n40 28 0:55 / /mnt/p rw - proc proc rw`, [["0:22", "/proc"], ["0:55", "/mnt/p"]]],
    ["a space in the path", "41 28 0:56 / /tmp/a\\040b rw - proc proc rw", [["0:56", "/tmp/a b"]]],
    ["tab, newline, backslash and number sign", "41 28 0:56 / /\\011\\012\\134\\043 rw - proc proc rw", [["0:56", "/\t\n\\#"]]],
    ["an escaped backslash before digits", "41 28 0:56 / /a\\134040 rw - proc proc rw", [["0:56", "/a\\040"]]],
    ["letters beyond ASCII", "41 28 0:56 / /tmp/ä rw - proc proc rw", [["0:56", "/tmp/ä"]]],
    ["a path that looks like the separator", "41 28 0:56 / /-\\040-\\040x rw - proc proc rw", [["0:56", "/- - x"]]],
    ["a line cut short", "41 28 0:56 /", []],
    ["nothing", "", []],
  ]; // prettier-ignore
  for (const [what, text, mounts] of cases) {
    it(what, () => {
      assert.deepEqual(
        procfsMounts(`${text}\n`).map(({ device, path }) => [device, path]),
        mounts,
      );
    });
  }

  it("of this machine, whose device is that of /proc", () => {
    const own = procfsMounts(readFileSync("/proc/self/mountinfo", "utf8")).find(({ path }) => path === "/proc");
    const { dev } = statSync("/proc");
    // makedev(3): small numbers only, as procfs has them.
    assert.equal(own?.device, `${dev >> 8}:${dev & 0xff}`);
  });
});

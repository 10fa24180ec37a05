import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { describe, it } from "node:test";
import { deviceOf } from "../../src/mountinfo.ts";
import { procfsMounts } from "../../src/sensors/procfs-mounts.ts";

const PROC = "23 28 0:22 / /proc rw,nosuid shared:12 - proc proc rw";

describe("procfs in a mount table", () => {
  const cases: readonly (readonly [what: string, text: string, mounts: readonly (readonly [string, ...string[]])[]])[] = [
    ["one", PROC, [["0:22", "/proc"]]],
    ["without optional fields", "23 28 0:22 / /proc rw - proc proc rw", [["0:22", "/proc"]]],
    ["with several optional fields", "23 28 0:22 / /p rw shared:1 master:2 - proc none rw", [["0:22", "/p"]]],
    ["other file systems", "24 28 0:23 / /sys rw - sysfs proc rw\n25 1 8:1 / / rw - ext4 /dev/sda1 rw", []],
    ["a file of procfs bound elsewhere", "26 28 0:22 /sys/kernel /x rw - proc proc rw", []],
    ["the same superblock twice", `${PROC}\n40 28 0:22 / /mnt/proc rw - proc proc rw`, [["0:22", "/proc", "/mnt/proc"]]],
    ["one over the other", `${PROC}\n40 23 0:55 / /proc rw - proc proc rw`, [["0:22", "/proc"], ["0:55", "/proc"]]],
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
        procfsMounts(`${text}\n`).map(({ device, paths }) => [device, ...paths]),
        mounts,
      );
    });
  }

  it("of this machine, whose device is that of /proc", () => {
    const own = procfsMounts(readFileSync("/proc/self/mountinfo", "utf8")).find(
      ({ device }) => device === deviceOf(statSync("/proc").dev),
    );
    assert.ok(own?.paths.includes("/proc"));
  });
});

describe("a device number as the table writes it", () => {
  const cases: readonly (readonly [dev: number, device: string])[] = [
    [0x16, "0:22"],
    [0xff, "0:255"],
    [0x10_0000, "0:256"],
    [0x10_002c, "0:300"],
    [0xfff0_00ff, "0:1048575"],
    [0x0801, "8:1"],
    [0xffff_ffff, "4095:1048575"],
  ];
  for (const [dev, device] of cases) it(device, () => assert.equal(deviceOf(dev), device));
});

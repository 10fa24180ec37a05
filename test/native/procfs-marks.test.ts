// A procfs that is marked, unmounted and forgotten.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { requireAddon } from "../../src/native.ts";

test("a marked procfs can be unmounted, forgotten and forgotten again", () => {
  const { addon } = requireAddon();
  const procfs = addon.openProcfs();
  const watch = addon.openWatch({ connector: false, files: true }, procfs, () => {});
  const mount = mkdtempSync(join(tmpdir(), "rimon-procfs-"));
  try {
    execFileSync("mount", ["-t", "proc", "proc", mount]);
    const { dev } = watch.markProcfs(mount);
    execFileSync("umount", [mount]);
    watch.unmarkProcfs(dev);
    watch.unmarkProcfs(dev);
    assert.throws(() => watch.unmarkProcfs("x" as unknown as number), /st_dev/);
    assert.throws(() => watch.markProcfs(mount), { code: "ENODEV" });
  } finally {
    watch.close();
    procfs.close();
    rmdirSync(mount);
  }
});

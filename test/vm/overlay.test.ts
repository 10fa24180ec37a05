// Programs of an overlay where the kernel learned of overlayfs only after rimon had started: its module's types were not
// there when the program at exec was loaded, so that the upper layer is found by the size of an inode.

import assert from "node:assert/strict";
import { basename } from "node:path";
import { describe, test } from "node:test";
import type { Finding } from "../../src/finding.ts";
import { runInGuest } from "./guest.ts";
import { provideKernel } from "./kernels.ts";
import { placeOf } from "./root.ts";
import { SHELL } from "./sections.ts";

const NAME = "keeper";

const scriptWith = (module: string): string => `${SHELL}
cd /tmp
if grep -qw overlay /proc/filesystems; then exit 1; fi
export RIMON_STATE_DIR=/tmp/state
rimon run --json --protect comm:${NAME} >records 2>errors & rimon=$!
told '"type":"ready"'
insmod ${module} || exit 1
mkdir lower upper work merged
cp /usr/bin/setpriv lower/${NAME}
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged || exit 1
/tmp/merged/${NAME} --dump >/dev/null || exit 1
echo >>/tmp/merged/${NAME}
/tmp/merged/${NAME} --dump >/dev/null || exit 1
told '"rule":"upper-layer-exec"'
kill -TERM $rimon; wait $rimon
grep '^{"type":"finding"' records
`;

describe("the upper layer of an overlay whose module is loaded after rimon has started", () => {
  for (const kernel of ["6.1", "newest"] as const) {
    test(kernel, async () => {
      const module = provideKernel(kernel).modules.find((path) => basename(path) === "overlay.ko");
      assert.ok(module !== undefined);
      const { code, lines, console } = await runInGuest({
        kernel,
        script: scriptWith(placeOf(module)),
        extras: [module],
      });
      const said = `${lines.join("\n")}\n${console}`;
      assert.equal(code, 0, said);
      const found = lines
        .map((line) => JSON.parse(line) as Finding)
        .filter(({ rule }) => rule === "upper-layer-exec")
        .map(({ severity, target, subject }) => `${severity} ${target?.comm} ${subject}`);
      // What it was before it was written to is the image's.
      assert.deepEqual(found, [`medium ${NAME} /tmp/merged/${NAME}`], said);
    });
  }
});

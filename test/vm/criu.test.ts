// CRIU takes a whole process, memory and all, out of a machine with the kernel it was made for: CRIU 3.17 of Debian 12
// does not start on Linux 6.18 (its vDSO has another shape), and asks for nftables before it does anything.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding } from "../../src/finding.ts";
import { runInGuest } from "./guest.ts";
import { provideKernel } from "./kernels.ts";
import { placeOf } from "./root.ts";
import { SHELL } from "./sections.ts";

const KERNEL = "6.1";
const { modules } = provideKernel(KERNEL);

const SCRIPT = `${SHELL}
cd /tmp
for module in ${modules.map(placeOf).join(" ")}; do insmod $module || exit 1; done
setsid sleep 600 </dev/null >/dev/null 2>&1 & keeper=$!
export RIMON_STATE_DIR=/tmp/state
rimon run --json --protect comm:sleep >records 2>errors & rimon=$!
told '"type":"ready"'
mkdir images
/usr/sbin/criu dump --tree $keeper --images-dir images --leave-running || exit 1
kill -0 $keeper || exit 1
echo $(stat -c %s images/pages-1.img)
told '"operation":"write"'
told '"rule":"code-modified"'
grep '^{"type":"finding"' records
kill -TERM $rimon; wait $rimon
`;

test("criu dumps a protected process, which lives on", async () => {
  const { code, lines, console } = await runInGuest({ kernel: KERNEL, script: SCRIPT, extras: ["criu", ...modules] });
  const said = `${lines.join("\n")}\n${console}`;
  assert.equal(code, 0, said);
  const [size, ...records] = lines;
  assert.ok(Number(size) > 0, "the memory is in the images: the attack was a real one");
  const found = records
    .map((line) => JSON.parse(line) as Finding)
    .filter(({ suspect }) => suspect?.exe === "/usr/sbin/criu")
    .map(({ rule, severity, operation, target }) => `${severity} ${rule} ${operation} ${target?.comm}`);
  for (const expected of [
    "high debugger-present run sleep",
    "critical ptrace-attach attach sleep",
    "critical ptrace-attach registers sleep",
    "critical memory-read read sleep",
    "critical memory-read write sleep",
    "low maps-read read sleep",
  ])
    assert.ok(found.includes(expected), `${expected}\n${said}`);
});

// A child that pushes until it is killed, and says on stdout which payload it was told is queued.
// Arguments: directory, a name for its payloads.

import { writeSync } from "node:fs";
import { openSpool } from "../../src/store/spool.ts";

const [directory = "", name = ""] = process.argv.slice(2);
const spool = await openSpool({
  directory,
  maxAlerts: 100_000,
  now: () => Date.now(),
  onTrouble: (message) => writeSync(2, `${message}\n`),
});
const outbox = spool.outbox("sink", async (payload) => void writeSync(1, `delivered ${payload}\n`));
for (let n = 0; ; n += 1) {
  if ((await outbox.push(`${name}-${n}`)) === "queued") writeSync(1, `queued ${name}-${n}\n`);
}

// A child that appends until it is killed, and says on stdout which record it was told is durable.
// Arguments: directory, rotateBytes, a name for its records.

import { writeSync } from "node:fs";
import { join } from "node:path";
import { openAuditLog } from "../../src/store/audit-log.ts";

const [directory = "", rotateBytes = "", name = ""] = process.argv.slice(2);
const log = await openAuditLog({
  path: join(directory, "audit.log"),
  keyFile: join(directory, "audit.key"),
  rotateBytes: Number(rotateBytes),
  checkpointEvery: 5,
  now: () => Date.now(),
  onTrouble: (message) => writeSync(2, `${message}\n`),
});
writeSync(1, "open\n");

async function appendForEver(lane: number): Promise<never> {
  for (let count = 0; ; count += 1) {
    const id = `${name}-${lane}-${count}`;
    const { durable, seq } = await log.append("finding", { id, padding: "x".repeat((count * 37) % 300) });
    if (durable) writeSync(1, `${seq} ${id}\n`);
  }
}

await Promise.all([appendForEver(0), appendForEver(1), appendForEver(2)]);

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { NotRun } from "../not-done.ts";
import { leakedToken } from "../range.ts";
import { by, type Technique } from "../technique.ts";

/** CORENAME_MAX_SIZE, with the NUL. */
const PATTERN_MAX = 128;
const WRITTEN_WITHIN_MS = 1_000;

export const corePipeHandler: Technique = {
  name: "core-pipe-handler",
  summary: "core_pattern handed to a program for a moment, then kill -ABRT: the dump goes to the attacker",
  rules: ["core-dump"],
  expected: ["fanotify"],
  async stage(range) {
    const core = join(range.folder, "core");
    // %P: whoever else crashes in these milliseconds has a file of its own.
    const pattern = `|${range.find("dd")} of=${core}.%P`;
    if (pattern.length >= PATTERN_MAX || /[\s%]/.test(core)) {
      throw new NotRun(`core_pattern cannot hold the path of a folder here (${range.folder})`);
    }
    const attacker = await range.attacker();
    const { pid, token } = range.smallDecoy();
    return {
      target: pid,
      async act() {
        const { at } = await attacker.act("dump-to", { pid, path: pattern });
        const leakedBytes = await waitForToken(token, `${core}.${pid}`);
        // The write, which comes first; that a signal dumps core is asked by abort-core.
        return { at, attacker: attacker.pid, leakedBytes, concerns: by(attacker.pid) };
      },
    };
  },
};

/** The kernel starts the program and does not wait for it. */
async function waitForToken(token: string, path: string): Promise<number> {
  for (const deadline = Date.now() + WRITTEN_WITHIN_MS; ; await delay(5)) {
    const leakedBytes = existsSync(path) ? leakedToken(token, readFileSync(path)) : 0;
    if (leakedBytes > 0 || Date.now() > deadline) return leakedBytes;
  }
}

// `rimon replay FILE`: recorded observations, the same detectors and policy, no privileges.

import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { RimonError, reasonOf } from "../errors.ts";
import { replay } from "../replay.ts";
import { presentFinding, presentVerdict } from "./present.ts";
import { loadSetup, type Overrides } from "./setup.ts";
import type { Terminal } from "./terminal.ts";

/** Exit code 1 if anything was found. */
export async function replayCommand(
  file: string,
  options: Overrides & { readonly json: boolean },
  terminal: Terminal,
): Promise<number> {
  const { configuration } = await loadSetup(options);
  let findings = 0;
  for await (const verdict of replay(linesOf(file), configuration, file)) {
    findings++;
    if (options.json) {
      terminal.write(`${JSON.stringify(verdict.finding)}\n${JSON.stringify(verdict)}\n`);
    } else {
      terminal.write(presentFinding(terminal, verdict.finding, false));
      terminal.write(presentVerdict(terminal, verdict));
      const acts = verdict.actions.filter(({ allowed }) => allowed).map(({ action }) => action);
      if (acts.length > 0) terminal.write(terminal.style("dim", `              would     ${acts.join(", ")}\n`));
    }
  }
  if (!options.json) {
    const found = findings === 0 ? "nothing found" : findings === 1 ? "1 finding" : `${findings} findings`;
    terminal.write(`${file}: ${found}\n`);
  }
  return findings === 0 ? 0 : 1;
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const input = createReadStream(file, "utf8");
  try {
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (thrown) {
    if (thrown instanceof RimonError) throw thrown;
    throw new RimonError("RIMON_USAGE", `${file} cannot be read: ${reasonOf(thrown)}`, { cause: thrown });
  } finally {
    input.destroy();
  }
}

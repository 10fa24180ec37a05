// Program: a process that a bench looks at or loads the node with. It does what it is told, one JSON line at a time, and
// ends with its stdin.

import { createInterface } from "node:readline";
import { reasonOf } from "../errors.ts";
import { requireDrillAddon } from "../native.ts";
import { loop, type LoopName, type LoopOptions } from "./primitives.ts";

export interface SubjectOrder {
  /** Threads that sleep. */
  readonly threads?: number;
  readonly loop?: {
    readonly name: LoopName;
    readonly options: Omit<LoopOptions, "address">;
    readonly address?: string;
  };
}

const { attack } = requireDrillAddon();
const say = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);

createInterface({ input: process.stdin })
  .on("line", (line) => {
    try {
      const { threads = 0, loop: wanted } = JSON.parse(line) as SubjectOrder;
      for (let started = 0; started < threads; started++) attack.startThread();
      if (wanted === undefined) return say({ threads });
      const { name, options, address } = wanted;
      say(loop(name, { ...options, ...(address === undefined ? {} : { address: BigInt(address) }) }));
    } catch (thrown) {
      say({ error: reasonOf(thrown) });
    }
  })
  .on("close", () => process.exit(0));

const { address } = attack.secret();
say({ pid: process.pid, address: String(address) });

// Starts and orders subject.ts.

import { mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { LoopName, LoopOptions, Timing } from "./primitives.ts";
import { ownProgram, Service } from "./programs.ts";

export interface Subject {
  readonly pid: number;
  /** Of bytes that are there to be read. */
  readonly address: bigint;
  startThreads(count: number): Promise<void>;
  loop(name: LoopName, options: LoopOptions): Promise<Timing>;
  end(): Promise<void>;
}

const LONGEST_MS = 120_000;

/** With a name of its own its comm is that, by which a configuration can mean it. */
export async function startSubject(folder: string, name?: string): Promise<Subject> {
  let path = process.execPath;
  if (name !== undefined) {
    // A process is called after the file that was executed.
    path = join(mkdtempSync(join(folder, "bin-")), name);
    symlinkSync(process.execPath, path);
  }
  const service = new Service(path, ownProgram("bench/subject"));
  const { pid, address } = await service.hear((line) => JSON.parse(line) as { pid: number; address: string });
  return {
    pid,
    address: BigInt(address),
    startThreads: async (threads) => void (await service.ask({ threads }, LONGEST_MS)),
    loop: (name, { address: at, ...options }) =>
      service.ask<Timing>(
        { loop: { name, options, ...(at === undefined ? {} : { address: String(at) }) } },
        LONGEST_MS,
      ),
    end: () => service.close(),
  };
}

// What a pass over one protected process costs: whether its code is still its files', and what it has mapped.

import { readFileSync } from "node:fs";
import { requireAddon } from "../native.ts";
import { decodeRecords } from "../records.ts";
import { cpuNs } from "./primitives.ts";
import type { Bench, BenchContext } from "./result.ts";
import { Service } from "./programs.ts";
import { spread } from "./statistics.ts";
import { startSubject } from "./subjects.ts";

/** In one run: a single check is too short for the clock of CPU time. */
const AT_ONCE = 5;

interface Scanned {
  readonly name: string;
  readonly label: string;
  readonly pid: number;
}

export const memoryScan: Bench = {
  name: "memory-scan",
  summary: "one pass over the code and the mappings of one protected process",
  async run(context) {
    const small = new Service("/bin/cat", []);
    const node = await startSubject(context.folder);
    try {
      await scanOne(context, { name: "small", label: "cat", pid: small.pid });
      await scanOne(context, { name: "node", label: "a node process", pid: node.pid });
      let mapped = 0;
      for (const mappings of context.quick ? [1_000] : [1_000, 10_000]) {
        await node.loop("mapCode", { calls: mappings - mapped });
        mapped = mappings;
        await scanOne(context, {
          name: `node-and-${mappings}`,
          label: `the same with ${mappings} mappings of code more`,
          pid: node.pid,
        });
      }
    } finally {
      await Promise.all([small.close(), node.end()]);
    }
  },
};

async function scanOne(context: BenchContext, { name, label, pid }: Scanned): Promise<void> {
  const procfs = requireAddon().addon.openProcfs();
  const runs = context.quick ? 5 : 15;
  try {
    const { mappings, megabytes } = codeOf(pid);
    const what = `${label} (${mappings} mappings of code, ${megabytes} MB)`;
    const first = decodeRecords(await procfs.maps(pid)).find(({ kind }) => kind === "maps");
    const digest = first?.kind === "maps" ? first.digest : undefined;
    const ways: readonly (readonly [string, string, () => Promise<Buffer>])[] = [
      ["code", "code against its files", () => procfs.codePages(pid)],
      ["code-by-pagemap", "the same as below Linux 6.7", () => procfs.codePages(pid, true)],
      ["maps", "mappings read", () => procfs.maps(pid)],
      ["maps-known", "mappings by digest, unchanged", () => procfs.maps(pid, digest)],
    ];
    for (const [way, words, look] of ways) {
      context.progress(`${words}: ${label}`);
      const samples: number[] = [];
      for (let run = 0; run <= runs; run++) {
        context.signal.throwIfAborted();
        const began = cpuNs();
        for (let time = 0; time < AT_ONCE; time++) decodeRecords(await look());
        if (run > 0) samples.push((cpuNs() - began) / AT_ONCE / 1e6);
      }
      context.figure({ id: `${way}/${name}`, label: [what, words], unit: "ms", estimate: spread(samples) });
    }
  } finally {
    procfs.close();
  }
}

function codeOf(pid: number): { readonly mappings: number; readonly megabytes: string } {
  const ranges = [...readFileSync(`/proc/${pid}/maps`, "latin1").matchAll(/^([0-9a-f]+)-([0-9a-f]+) ..x. .* \//gm)];
  const bytes = ranges.reduce((sum, [, from, to]) => sum + Number(BigInt(`0x${to}`) - BigInt(`0x${from}`)), 0);
  return { mappings: ranges.length, megabytes: (bytes / 1e6).toFixed(1) };
}

// Processes that do nothing, so that there are enough of them. They end with the pipe they read from, and so with the
// bench, however that ends.

import { readdirSync, readFileSync } from "node:fs";
import { Service } from "./programs.ts";

/** Of one shell; its table of jobs is a list. */
const SIBLINGS = 250;
/** What one that was forked from a shell takes, and something to spare. */
const BYTES_EACH = 250_000;
const FILLED_WITHIN_MS = 120_000;

const SCRIPT = `
left=$1
while [ $left -gt 0 ]; do
  few=$left
  [ $few -gt ${SIBLINGS} ] && few=${SIBLINGS}
  left=$((left - few))
  {
    while [ $few -gt 1 ]; do
      { read -r line; } <&3 &
      few=$((few - 1))
    done
    read -r line <&3
  } &
done
echo filled
read -r line <&3
`;

export interface Population {
  end(): Promise<void>;
}

export function countProcesses(): number {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).length;
}

/** Why there cannot be so many processes here; undefined if there can. */
export function noRoomFor(processes: number): string | undefined {
  const available = Number(/^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1_024;
  const wanted = processes * BYTES_EACH;
  if (available < 2 * wanted)
    return `${processes} processes want ${Math.round(wanted / 1e6)} MB twice over, ${Math.round(available / 1e6)} MB are available`;
  const limits = [
    readNumber("/proc/sys/kernel/pid_max"),
    readNumber("/proc/sys/kernel/threads-max"),
    cgroupLimit(),
    softProcessLimit(),
  ];
  const limit = Math.min(...limits);
  if (limit < processes + 1_000) return `at most ${limit} processes are allowed here`;
  return undefined;
}

/** Adds processes until the node has as many as wanted. */
export async function populate(wanted: number): Promise<Population> {
  const before = countProcesses();
  const missing = wanted - before;
  if (missing <= 0) return { async end() {} };
  const shell = new Service("/bin/sh", ["-c", `exec 3<&0\n${SCRIPT}`, "rimon-bench", String(missing)]);
  await shell.hear((line) => (line === "filled" ? true : undefined), FILLED_WITHIN_MS);
  // The last shells are still forking.
  const until = Date.now() + FILLED_WITHIN_MS;
  while (countProcesses() < wanted * 0.98 && Date.now() < until)
    await new Promise((resolve) => setTimeout(resolve, 50));
  return {
    async end() {
      await shell.close();
      // Until most of them are reaped; others come and go meanwhile.
      while (countProcesses() > before + missing * 0.02 && Date.now() < until + FILLED_WITHIN_MS)
        await new Promise((resolve) => setTimeout(resolve, 50));
    },
  };
}

function readNumber(path: string): number {
  try {
    const number = Number(readFileSync(path, "utf8"));
    return Number.isFinite(number) ? number : Infinity;
  } catch {
    return Infinity;
  }
}

/** pids.max of our own cgroup, where that is the second hierarchy; those above it are not looked at. */
function cgroupLimit(): number {
  const path = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
  return path === undefined ? Infinity : readNumber(`/sys/fs/cgroup${path}/pids.max`);
}

function softProcessLimit(): number {
  // Root is not held to it.
  if (process.getuid?.() === 0) return Infinity;
  const limit = /^Max processes\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return limit === undefined || limit === "unlimited" ? Infinity : Number(limit);
}

// What README.md shows of a full run: pure, from the result that lies beside it in bench/.

import { round } from "./claims.ts";
import type { Figure, Result } from "./result.ts";

export const BEGINS = "<!-- bench: made by npm run bench:readme from bench/result.json -->";
export const ENDS = "<!-- bench: end -->";

/** What is shown, and of which figures: "*" stands for every one of them, of which the least and the greatest are told. */
const ROWS: readonly (readonly [what: string, figures: readonly string[]])[] = [
  ["one pass over the process table, CPU a process, at 100, 1,000 and 10,000 processes", per("scan/rimon/cpu")],
  ["the same by a reader of /proc in TypeScript", per("scan/twin/cpu")],
  ["by `ps -e`", per("scan/ps/cpu")],
  ["by the npm package systeminformation", per("scan/systeminformation/cpu")],
  ["/proc read in C, of what its system calls alone take", ["scan/proc/of-floor/1000"]],
  ["`rimon run` on an idle node, CPU of one core, at 100, 1,000 and 10,000 processes", per("own/cpu", "1s/idle")],
  ["at 1,000 processes with 100 programs started a second", ["own/cpu/1000/1s/busy"]],
  ["resident memory, at 100, 1,000 and 10,000 processes", per("own/resident", "1s/idle")],
  ["Node that does nothing", ["own/node-alone/cpu", "own/node-alone/resident"]],
  ["from start to ready", ["own/ready"]],
  ["from the act to the finding, half of them", ["latency/event/*/finding/p50"]],
  ["99 of 100", ["latency/event/*/finding/p99"]],
  ["to the synced audit record, half of them", ["latency/event/*/synced/p50"]],
  ["to the alert at a webhook, half of them", ["latency/event/*/alert/p50"]],
  ["acts that no finding came of", ["latency/event/*/missed"]],
  ["redis-benchmark on a protected redis, throughput lost", ["overhead/redis/monitor", "overhead/redis/enforce"]],
  ["the same to auditd, to `strace -f`", ["overhead/redis/auditd", "overhead/redis/strace"]],
  ["wrk on a protected HTTPS server, throughput lost", ["overhead/https/monitor", "overhead/https/enforce"]],
  ["compiling, throughput lost", ["overhead/compile/monitor", "overhead/compile/enforce"]],
  ["page faults and mappings of a protected process", ["overhead/faults/monitor"]],
  ["getppid, the least that a system call can do", ["overhead/getppid/monitor"]],
  ["reads of memory that concern nobody, held without a loss", ["storm/other-reads/held"]],
  ["reads of protected memory by one process, held without a loss", ["storm/reads/held"]],
  ["by a process each, in a burst", ["storm/readers/burst"]],
  ["losses that were not told", ["storm/*/untold"]],
  ["AES-256-GCM at 64 KiB, one core", ["crypto/encrypt/65536/one-core"]],
  ["HKDF-SHA256 of 32 bytes", ["crypto/hkdf/one-core"]],
  ["the code of one node process against its files", ["memory-scan/code/node"]],
  ["a check of 150,000 files of which none changed; `statx` of them and nothing else", ["files/incremental/wall", "files/incremental/floor"]], // prettier-ignore
  ["a full check of them, of a bare loop that reads and hashes; of what /usr has", ["files/full/of-bare", "files/installed/full/of-bare"]], // prettier-ignore
  ["the same, of AIDE's at its best, and as Debian configures it", ["files/aide/best/full/rimon", "files/aide/debian/full/rimon"]], // prettier-ignore
  ["changes of files made, written, closed and removed, held without a loss; written 16 times each", ["files/events/brief/held", "files/events/written/held"]], // prettier-ignore
  ["CPU time of the reader for each of them", ["files/events/brief/reader", "files/events/written/reader"]],
  ["files of whose changes something was lost untold; changes lost by `inotifywait`", ["files/events/untold", "files/events/inotifywait/lost"]], // prettier-ignore
  ["an exec that the gate leaves to the kernel, more than with no gate; by fapolicyd", ["gate/warm", "gate/warm/fapolicyd"]], // prettier-ignore
  ["one of a file of 36 KB that it sees for the first time; by fapolicyd", ["gate/first", "gate/first/fapolicyd"]],
];

const PICTURES: readonly (readonly [name: string, says: string])[] = [
  ["scan", "CPU per process of one full process table, by reader and number of processes"],
  ["latency", "time from the act to the finding, the synced record and the alert, by technique"],
  ["overhead", "throughput that others lose to each watcher, with 95 % intervals"],
  ["cores", "cores needed for encryption, key derivation and monitoring, by line rate"],
];

function per(kind: string, rest = ""): string[] {
  return [100, 1_000, 10_000].map((processes) => `${kind}/${processes}${rest === "" ? "" : `/${rest}`}`);
}

/** The part of README.md between BEGINS and ENDS, both with it. */
export function readmePart(result: Result): string {
  const { machine, time, seconds, warnings } = result;
  const rows = ROWS.flatMap(([what, ids]) => {
    const shown = ids.flatMap((id) => shownOf(result.figures, id) ?? []);
    return shown.length === 0 ? [] : [`| ${what} | ${shown.join(", ")} | \`${ids[0]?.split("/")[0]}\` |`];
  });
  const claims = result.claims.map(
    ({ claim, measured, holds, verdict }) =>
      `| ${claim} | ${measured} | ${holds === false ? `**${verdict}**` : verdict} |`,
  );
  const noisy = warnings.length === 0 ? "" : ` Noisy: ${warnings.join("; ")}.`;
  return [
    BEGINS,
    "",
    `A full run of \`rimon bench\` on ${time.slice(0, 10)}, ${seconds} s, on ${machine.cpu}, ${machine.cores} cores${machine.virtual === true ? " of a virtual machine" : ""}, Linux ${machine.kernel}, Node ${machine.node}, OpenSSL ${machine.openssl}, ${machine.processes} processes.${noisy} In brackets: the 95 % interval of a ratio of pairs, or where the middle half of the runs lies. Each row names its bench, whose file is \`src/bench/NAME.ts\`; the whole result is [bench/result.json](bench/result.json).`,
    "",
    "| what | measured | bench |",
    "| --- | --- | --- |",
    ...rows,
    "",
    ...PICTURES.flatMap(([name, says]) => [`![${says}](bench/pictures/${name}.svg)`, ""]),
    "What this design first claimed, and what is so:",
    "",
    "| claimed | measured | verdict |",
    "| --- | --- | --- |",
    ...claims,
    "",
    ENDS,
  ].join("\n");
}

function shownOf(figures: readonly Figure[], id: string): string | undefined {
  const parts = id.split("/");
  const isAsked = ({ id: each }: Figure): boolean => {
    const own = each.split("/");
    return own.length === parts.length && parts.every((part, index) => part === "*" || part === own[index]);
  };
  const found = figures.filter(isAsked).toSorted((a, b) => a.value - b.value);
  const [least, greatest] = [found[0], found.at(-1)];
  if (least === undefined || greatest === undefined) return undefined;
  if (least !== greatest)
    return least.value === greatest.value
      ? amount(least)
      : `${round(least.value)} to ${amount(greatest)} (${found.length} techniques)`;
  return least.interval === "none" ? amount(least) : `${amount(least)} (${round(least.low)} to ${round(least.high)})`;
}

function amount({ value, unit }: Figure): string {
  return unit.startsWith("a second")
    ? `${Math.round(value).toLocaleString("en")} ${unit}`
    : `${round(value)}${unit === "%" || unit === "×" ? "" : " "}${unit}`;
}

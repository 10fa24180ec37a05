// From the act, by the attacker's own clock, to the finding, to the audit record on the disk and to the alert at a
// webhook. The acts are the drill's techniques, over and over on decoys of their own.

import { chmodSync, mkdtempSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DECOY_NAME } from "../drill/comm.ts";
import { NotRun, Refused } from "../drill/not-done.ts";
import { BARE } from "../drill/ground.ts";
import { createRange, type Range } from "../drill/range.ts";
import type { Deed, Staged, Technique } from "../drill/technique.ts";
import { TECHNIQUES } from "../drill/techniques/all.ts";
import { reasonOf } from "../errors.ts";
import type { Finding } from "../finding.ts";
import { startHost, type Host } from "./hosts.ts";
import type { HostFinding, HostLine } from "./host.ts";
import type { Bench, BenchContext } from "./result.ts";
import { exactly, quantile, spread } from "./statistics.ts";

/** What can be done again and again, each time in the same way, by sensor. */
const BY_EVENT = [
  "ptrace-attach",
  "ptrace-seize",
  "process-vm-readv",
  "proc-mem",
  "proc-mem-io-uring",
  "pidfd-getfd",
  "environ-read",
  "maps-read",
];
const POLLED = "own-file-mode";

const RUNS = 200;
const PAIRS = 4;
const QUICK_RUNS = 5;
const POLLED_RUNS = 20;
/** The same again from the same process within a second is the same act to rimon. */
const APART_MS = 1_100;
const SEEN_WITHIN_MS = 3_000;
const DELIVERED_WITHIN_MS = 5_000;
const MAX_KEPT = 100;
/** A fresh decoy is looked at until then. */
const SETTLED_MS = 4_000;

interface Arrived {
  readonly finding: HostFinding;
  readonly at: bigint;
}

/** In milliseconds after each act. */
interface Delays {
  readonly finding: number[];
  readonly synced: number[];
  readonly alert: number[];
  missed: number;
}

interface Stage {
  readonly technique: Technique;
  readonly staged: Staged;
  readonly delays: Delays;
  actedAt: number;
}

export const latency: Bench = {
  name: "latency",
  summary: "from the act to the finding, the synced audit record and the alert",
  needsRoot: true,
  async run(context) {
    const arrivals = createArrivals();
    const webhook = await listen((id) => arrivals.alerted(id));
    const ranges: Range[] = [];
    let host: Host | undefined;
    try {
      const settings = { webhook: webhook.url };
      host = await startHost(context.folder, [`comm:${DECOY_NAME}`], settings, (line) => arrivals.told(line));
      const { audit } = host;
      const rangeFor = (technique: Technique): Range => {
        const root = mkdtempSync(join(context.folder, "range-"));
        const range = createRange({
          root,
          name: technique.name,
          auditLog: audit,
          cgroup: undefined,
          ground: BARE,
          monitorStartedAt: () => 0n,
        });
        ranges.push(range);
        return range;
      };
      const stages = await stageAll(context, rangeFor);
      await sleep(SETTLED_MS);
      if (context.quick) context.leftOut("polled", "a polling sensor", "a quick run has no time to wait for it");
      const polling = context.quick ? undefined : poll(context, arrivals, rangeFor, audit);
      // It is awaited below, unless something else fails first.
      polling?.catch(() => {});
      await actAll(context, arrivals, stages);
      tellAll(context, stages);
      const polled = await polling;
      if (polled !== undefined) tellDelays(context, techniqueOf(POLLED), "polled", polled);
    } finally {
      await Promise.all(ranges.map((range) => range.end()));
      await host?.end();
      await webhook.close();
    }
  },
};

async function stageAll(context: BenchContext, rangeFor: (technique: Technique) => Range): Promise<Stage[]> {
  const stages: Stage[] = [];
  for (const name of BY_EVENT) {
    const technique = techniqueOf(name);
    const delays: Delays = { finding: [], synced: [], alert: [], missed: 0 };
    for (let pair = 0; pair < (context.quick ? 1 : PAIRS); pair++) {
      context.progress(`starting decoys: ${name}`);
      context.signal.throwIfAborted();
      try {
        stages.push({ technique, staged: await technique.stage(rangeFor(technique)), delays, actedAt: 0 });
      } catch (thrown) {
        if (pair === 0) context.leftOut(`event/${name}`, name, reasonOf(thrown));
        break;
      }
    }
  }
  return stages;
}

async function actAll(context: BenchContext, arrivals: Arrivals, stages: readonly Stage[]): Promise<void> {
  const { quick, signal } = context;
  const refused = new Set<Technique>();
  // A first round that does not count.
  const rounds = 1 + (quick ? QUICK_RUNS : Math.ceil(RUNS / PAIRS));
  for (let round = 0; round < rounds; round++) {
    for (const stage of stages) {
      signal.throwIfAborted();
      if (refused.has(stage.technique)) continue;
      context.progress(`${stage.technique.name}, ${round} of ${rounds - 1}`);
      await sleep(Math.max(0, stage.actedAt + APART_MS - performance.now()));
      stage.actedAt = performance.now();
      try {
        await actOnce(stage, arrivals, round > 0);
      } catch (thrown) {
        if (!(thrown instanceof Refused) && !(thrown instanceof NotRun)) throw thrown;
        context.leftOut(
          `event/${stage.technique.name}`,
          stage.technique.name,
          `it cannot be done here: ${thrown.message}`,
        );
        refused.add(stage.technique);
      }
    }
  }
}

async function actOnce({ technique, staged, delays }: Stage, arrivals: Arrivals, counts: boolean): Promise<void> {
  const deed = await staged.act();
  const arrived = await arrivals.of(technique, deed);
  if (arrived === undefined) {
    if (counts) delays.missed++;
    return;
  }
  const { id } = arrived.finding;
  const synced = await arrivals.when(() => arrivals.syncedAt(id), DELIVERED_WITHIN_MS);
  const alerted = isAlerted(arrived.finding.rule)
    ? await arrivals.when(() => arrivals.alertedAt(id), DELIVERED_WITHIN_MS)
    : undefined;
  if (!counts) return;
  delays.finding.push(msBetween(deed.at, arrived.at));
  if (synced !== undefined) delays.synced.push(msBetween(deed.at, synced));
  if (alerted !== undefined) delays.alert.push(msBetween(deed.at, alerted));
}

/** One that nothing tells of but the next pass: at any moment of the interval, in the background. */
async function poll(
  context: BenchContext,
  arrivals: Arrivals,
  rangeFor: (technique: Technique) => Range,
  audit: string,
): Promise<Delays | undefined> {
  const technique = techniqueOf(POLLED);
  const delays: Delays = { finding: [], synced: [], alert: [], missed: 0 };
  try {
    const staged = await technique.stage(rangeFor(technique));
    for (let run = 0; run < POLLED_RUNS; run++) {
      await sleep(1_200 + Math.random() * 1_000);
      await actOnce({ technique, staged, delays, actedAt: 0 }, arrivals, true);
      chmodSync(audit, 0o600);
    }
  } catch (thrown) {
    context.signal.throwIfAborted();
    context.leftOut("polled", POLLED, reasonOf(thrown));
    return undefined;
  }
  return delays;
}

function tellAll(context: BenchContext, stages: readonly Stage[]): void {
  for (const { technique, delays } of new Map(stages.map((stage) => [stage.technique, stage])).values())
    tellDelays(context, technique, "event", delays);
}

function tellDelays(
  context: BenchContext,
  { name, rules, expected }: Technique,
  by: "event" | "polled",
  delays: Delays,
): void {
  const row = `${name} (${by === "event" ? expected.join(" or ") : "polled, every second"})`;
  context.figure({
    id: `${by}/${name}/missed`,
    label: [row, "missed"],
    unit: "acts",
    estimate: exactly(delays.missed),
  });
  const kinds = [
    ["finding", delays.finding],
    ["synced", delays.synced],
    ["alert", delays.alert],
  ] as const;
  if (!rules.some(isAlerted))
    context.leftOut(`${by}/${name}/alert`, `the alert of ${name}`, "its severity is below that of alerts");
  for (const [kind, samples] of kinds) {
    if (samples.length === 0) continue;
    const figure = { unit: "ms", samples } as const;
    context.figure({
      ...figure,
      id: `${by}/${name}/${kind}/p50`,
      label: [row, `${kind}, half`],
      estimate: spread(samples),
    });
    for (const [part, q] of [["p99", 0.99] as const, ["max", 1] as const]) {
      // Of a few runs the 99th percentile says nothing.
      if (part === "p99" && samples.length < 100) continue;
      context.figure({
        id: `${by}/${name}/${kind}/${part}`,
        label: [row, `${kind}, ${part === "max" ? "longest" : "99 %"}`],
        unit: "ms",
        estimate: { ...exactly(quantile(samples, q)), n: samples.length },
        interval: "none",
      });
    }
  }
}

interface Arrivals {
  told(line: HostLine): void;
  alerted(id: string): void;
  syncedAt(id: string): bigint | undefined;
  alertedAt(id: string): bigint | undefined;
  /** The first finding about this deed. */
  of(technique: Technique, deed: Deed): Promise<Arrived | undefined>;
  /** What `look` finds, now or as things come in. */
  when<T>(look: () => T | undefined, withinMs: number): Promise<T | undefined>;
}

function createArrivals(): Arrivals {
  const findings: Arrived[] = [];
  const synced = new Map<string, bigint>();
  const alerted = new Map<string, bigint>();
  const watchers = new Set<() => void>();
  const look = (): void => {
    for (const watcher of watchers) watcher();
  };
  const when: Arrivals["when"] = (find, withinMs) =>
    new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        watchers.delete(watcher);
        resolve(find());
      };
      const watcher = (): void => {
        if (find() !== undefined) settle();
      };
      const timer = setTimeout(settle, withinMs);
      watchers.add(watcher);
      watcher();
    });
  return {
    told(line) {
      if (line.type === "finding") findings.push({ finding: line.finding, at: BigInt(line.at) });
      else if (line.type === "synced") synced.set(line.id, BigInt(line.at));
      look();
    },
    alerted(id) {
      // One id may come twice, to more than one audience.
      if (!alerted.has(id)) alerted.set(id, process.hrtime.bigint());
      look();
    },
    syncedAt: (id) => synced.get(id),
    alertedAt: (id) => alerted.get(id),
    async of({ rules }, { at, concerns }) {
      const find = (): Arrived | undefined =>
        findings.find(
          (each) => each.at >= at && rules.includes(each.finding.rule) && concerns(each.finding as unknown as Finding),
        );
      const found = await when(find, SEEN_WITHIN_MS);
      if (findings.length > MAX_KEPT) findings.splice(0, MAX_KEPT / 2);
      return found;
    },
    when,
  };
}

/** Where alerts go. Whoever posts is answered at once. */
async function listen(onAlert: (id: string) => void): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    request.on("end", () => {
      const { id } = JSON.parse(text) as { id?: string };
      if (id !== undefined) onAlert(id);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const techniqueOf = (name: string): Technique => {
  const technique = TECHNIQUES.find((each) => each.name === name);
  if (technique === undefined) throw new Error(`the drill has no technique ${name} any more`);
  return technique;
};

/** maps-read is low, and alerts begin at medium. */
const isAlerted = (rule: string): boolean => rule !== "maps-read";

const msBetween = (from: bigint, to: bigint): number => Number(to - from) / 1e6;

// The way of an observation through state, detectors and policy, and of a record out of a batch: what each costs.

import { createAnalysis } from "../analysis.ts";
import { createIdentifiers } from "../identifier.ts";
import { requireAddon, WANT } from "../native.ts";
import type { Observation, Process } from "../observation.ts";
import { decodeRecords } from "../records.ts";
import { plainConfiguration } from "./configurations.ts";
import type { Bench } from "./result.ts";
import { spread } from "./statistics.ts";

const HOLDER = 1_000_001;
const OTHER = 1_000_002;
const FIRST_SHORT_LIVED = 2_000_000;
const EVERYTHING = WANT.status | WANT.exe | WANT.cmdline | WANT.cgroup | WANT.namespaces;
/** A millisecond passes from one to the next: the state forgets by the observations' own time. */
const STEP_MS = 1;
/** Until then the code is compiled better and better. */
const WARM_UP = 20_000;

interface Traffic {
  readonly name: string;
  readonly label: string;
  /** The observations of one round. */
  make(number: number, at: number): readonly Observation[];
}

const process = (pid: number, comm: string): Process => ({
  pid,
  startTime: pid * 10,
  parentPid: 1,
  comm,
  kernelThread: false,
  uid: 0,
  euid: 0,
  exe: `/usr/bin/${comm}`,
  cmdline: [comm, "--serve"],
  cgroup: `/system.slice/${comm}.service`,
});

const holder = process(HOLDER, "bench-holder");
const other = process(OTHER, "bench-other");
const scanned = { sensor: "process-table", by: "scan" } as const;

const TRAFFIC: readonly Traffic[] = [
  {
    name: "seen",
    label: "a process that is as it was",
    make: (_, at) => [{ kind: "process.seen", at, ...scanned, process: other }],
  },
  {
    name: "short-lived",
    label: "fork, exec and exit of a process that nobody protects, each",
    make: (number, at) => {
      const pid = FIRST_SHORT_LIVED + number;
      const exec = { kind: "process.seen", sensor: "exec", by: "exec", at } as const;
      return [
        { kind: "process.forked", at, sensor: "proc-connector", pid, parentPid: OTHER },
        { ...exec, process: process(pid, "short") },
        { kind: "process.exited", at, sensor: "proc-connector", pid },
      ];
    },
  },
  {
    name: "excused",
    label: "an ordinary reader opens maps of a protected process",
    make: (_, at) => [
      {
        kind: "procfs.accessed",
        at,
        sensor: "fanotify",
        file: "maps",
        access: "open",
        pid: OTHER,
        targetPid: HOLDER,
        path: `/proc/${HOLDER}/maps`,
        ownMount: true,
      },
    ],
  },
  {
    name: "repeated-read",
    label: "memory of a protected process is read, again by the same reader",
    make: (_, at) => [touched(OTHER, at)],
  },
  {
    name: "new-read",
    label: "memory of a protected process is read, each time by another that comes and goes, each",
    make: (number, at) => {
      const pid = FIRST_SHORT_LIVED + number;
      return [
        { kind: "process.seen", at, ...scanned, process: process(pid, "reader") },
        touched(pid, at),
        { kind: "process.exited", at, sensor: "proc-connector", pid },
      ];
    },
  },
];

function touched(byPid: number, at: number): Observation {
  return {
    kind: "memory.touched",
    at,
    sensor: "mmap-lock",
    operation: "vm-read",
    pid: HOLDER,
    startTime: holder.startTime,
    byPid,
    byTid: byPid,
    action: "seen",
    suppressed: 0,
  };
}

export const spine: Bench = {
  name: "spine",
  summary: "from an observation to its verdicts, from a batch to its records",
  async run(context) {
    const [runs, rounds] = context.quick ? [5, 2_000] : [9, 8_000];
    const configuration = plainConfiguration(context.folder, ["comm:bench-holder"]);
    for (const { name, label, make } of TRAFFIC) {
      context.progress(label);
      context.signal.throwIfAborted();
      const analysis = createAnalysis(configuration, { pid: 1, ancestors: new Set() }, createIdentifiers());
      let [at, number] = [Date.now(), 0];
      for (const each of [holder, other]) analysis.absorb({ kind: "process.seen", at, ...scanned, process: each });
      const samples: number[] = [];
      for (let run = 0; run <= runs; run++) {
        const batch = Array.from({ length: run === 0 ? WARM_UP : rounds }, () =>
          make(number++, (at += STEP_MS)),
        ).flat();
        const began = cpuUs();
        for (const observation of batch) analysis.absorb(observation);
        if (run > 0) samples.push((cpuUs() - began) / batch.length);
        await new Promise((resolve) => setImmediate(resolve));
      }
      context.figure({ id: `observation/${name}`, label, unit: "µs", estimate: spread(samples) });
    }

    const procfs = requireAddon().addon.openProcfs();
    try {
      for (const [name, label, want] of [
        ["table", "a record of the table: pid, start, parent, name", 0],
        ["everything", "a record with status, exe, arguments, cgroup, namespaces", EVERYTHING],
      ] as const) {
        context.progress(label);
        const batch = await procfs.scan(want);
        const records = decodeRecords(batch).length;
        const again = Math.ceil(rounds / records);
        for (let time = 0; time < WARM_UP / records; time++) decodeRecords(batch);
        const samples = Array.from({ length: runs }, () => {
          const began = cpuUs();
          for (let time = 0; time < again; time++) decodeRecords(batch);
          return (cpuUs() - began) / (again * records);
        });
        context.figure({ id: `record/${name}`, label: `${label}, decoded`, unit: "µs", estimate: spread(samples) });
      }
    } finally {
      procfs.close();
    }
  },
};

function cpuUs(): number {
  const { user, system } = globalThis.process.cpuUsage();
  return user + system;
}

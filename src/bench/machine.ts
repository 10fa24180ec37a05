// What the bench ran on, and whether that was quiet enough to say anything.

import { readFileSync, readdirSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import type { Machine } from "./result.ts";
import { median, quantile } from "./statistics.ts";

/** x86 and arm64, as /proc/cpuinfo writes them. */
const FEATURES = /^(?:aes|vaes|avx2?|avx512f|pclmulqdq|vpclmulqdq|sha_ni|ssse3|pmull|sha2|asimd|sve2?)$/;
const SPINS = 40;
const SPIN_STEPS = 2_000_000;
const NOISY = 0.1;
const STOLEN = 0.02;

export function describeMachine(): Machine {
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(read("/proc/cpuinfo") ?? "")?.[1]?.split(" ") ?? []);
  const isX86 = process.arch === "x64";
  return {
    cpu: cpus()[0]?.model.trim() || process.arch,
    cores: availableParallelism(),
    features: [...flags].filter((flag) => FEATURES.test(flag)),
    memoryBytes: totalmem(),
    kernel: release(),
    arch: process.arch,
    node: process.versions.node,
    openssl: process.versions.openssl,
    governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")?.trim() ?? null,
    virtual: isX86 ? flags.has("hypervisor") : null,
    load: loadavg()[0] ?? 0,
    processes: readdirSync("/proc").filter((name) => /^\d+$/.test(name)).length,
  };
}

export interface Quiet {
  /** How much longer the same work took in one of ten times than as a rule; wall time. */
  readonly jitter: number;
  /** The part of all CPU time that a hypervisor gave to others. */
  stolen(): number;
}

/** Looks how evenly the same work is done. */
export function listenForNoise(): Quiet {
  const before = cpuTimes();
  const took = Array.from({ length: SPINS }, () => {
    const began = process.hrtime.bigint();
    let mixed = 1;
    for (let step = 0; step < SPIN_STEPS; step++) mixed = Math.imul(mixed, 1_664_525) + step;
    // Used, so that it is not left out.
    return Number(process.hrtime.bigint() - began) + (mixed === 0 ? 1 : 0);
  }).slice(SPINS / 4);
  return {
    jitter: quantile(took, 0.9) / median(took) - 1,
    stolen() {
      const now = cpuTimes();
      return (now.steal - before.steal) / Math.max(1, now.all - before.all);
    },
  };
}

/** Sentences about what makes this machine's figures less than sure. */
export function noiseWarnings(machine: Machine, jitter: number, stolen: number): string[] {
  const warnings: string[] = [];
  const percent = (part: number): string => `${(part * 100).toFixed(0)} %`;
  if (machine.load > machine.cores / 2)
    warnings.push(`the load was ${machine.load.toFixed(1)} on ${machine.cores} cores before the bench began`);
  if (jitter > NOISY) warnings.push(`the same work took ${percent(jitter)} longer in one of ten times`);
  if (stolen > STOLEN) warnings.push(`the hypervisor gave ${percent(stolen)} of the CPU time to others`);
  if (machine.governor !== null && machine.governor !== "performance")
    warnings.push(`the CPU's governor is ${machine.governor}: its clock changes with the load`);
  return warnings;
}

function cpuTimes(): { readonly all: number; readonly steal: number } {
  const fields =
    /^cpu +(.*)$/m
      .exec(read("/proc/stat") ?? "")?.[1]
      ?.split(" ")
      .map(Number) ?? [];
  // guest and guest_nice are in user and nice already.
  return { all: fields.slice(0, 8).reduce((sum, each) => sum + each, 0), steal: fields[7] ?? 0 };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

// What this design's first version said of the cost of encryption, of key derivation and of monitoring, beside what is
// measured here: whether it holds, and by which factor it does not.

import type { Claim, CoresNeeded, Figure } from "./result.ts";

const HKDF_US = 1;
const HKDF_CALLS = 25_000;
const HKDF_CPU_MS = 25;
const LINE_GBIT = 200;
/** The upper end of "5-10 % of one core". */
const ENCRYPTION_CORES = 0.1;
const RATES_GBIT = [10, 25, 100, 200, 400];

/** Bytes of AES-256-GCM a second and core, at chunks of 64 KiB. */
export const ENCRYPTION_FIGURE = "crypto/encrypt/65536/one-core";
export const HKDF_FIGURE = "crypto/hkdf/one-core";
/** In % of one core. */
export const OWN_FIGURE = "own/cpu/1000/1s/idle";

const find = (figures: readonly Figure[], id: string): number | undefined =>
  figures.find((figure) => figure.id === id)?.value;

/** Key derivation goes by chunks and not by bytes: 25,000 calls a second were said of 200 Gbit/s. */
export function coresNeeded(figures: readonly Figure[]): CoresNeeded[] {
  const gbPerSecond = find(figures, ENCRYPTION_FIGURE);
  const hkdfUs = find(figures, HKDF_FIGURE);
  const ownPercent = find(figures, OWN_FIGURE);
  if (gbPerSecond === undefined || hkdfUs === undefined) return [];
  return RATES_GBIT.map((gbitPerSecond) => ({
    gbitPerSecond,
    encryption: gbitPerSecond / 8 / gbPerSecond,
    keyDerivation: (HKDF_CALLS * hkdfUs) / 1e6,
    rimon: ownPercent === undefined ? null : ownPercent / 100,
  }));
}

export function claimsOf(figures: readonly Figure[]): Claim[] {
  const hkdfUs = find(figures, HKDF_FIGURE);
  const line = coresNeeded(figures).find(({ gbitPerSecond }) => gbitPerSecond === LINE_GBIT);
  if (hkdfUs === undefined || line === undefined) return [];
  const cpuMs = line.keyDerivation * 1_000;
  return [
    atMost("HKDF-SHA256 takes about 1 µs a call", `${round(hkdfUs)} µs`, hkdfUs / HKDF_US),
    atMost(
      `${HKDF_CALLS.toLocaleString("en")} calls a second take about ${HKDF_CPU_MS} ms of CPU a second`,
      `${round(cpuMs)} ms`,
      cpuMs / HKDF_CPU_MS,
    ),
    atMost(
      `AES-256-GCM at ${LINE_GBIT} Gbit/s takes 5 to 10 % of one core`,
      `${round(line.encryption)} cores`,
      line.encryption / ENCRYPTION_CORES,
    ),
    bottleneck(line),
  ];
}

/** "About" is given a quarter more. */
function atMost(claim: string, measured: string, factor: number): Claim {
  const holds = factor <= 1.25;
  const verdict = holds
    ? factor >= 0.8
      ? "holds"
      : `holds, ${round(1 / factor)} times better`
    : `does not hold, by a factor of ${round(factor)}`;
  return { claim, measured, holds, verdict };
}

function bottleneck({ encryption, keyDerivation, rimon }: CoresNeeded): Claim {
  const claim = "the bottleneck is encryption, not key derivation and not monitoring";
  const measured = `at ${LINE_GBIT} Gbit/s ${round(encryption)} cores for encryption, ${round(keyDerivation)} for key derivation, ${rimon === null ? "rimon not measured" : `${round(rimon)} for rimon`}`;
  if (rimon === null && encryption > keyDerivation)
    return { claim, measured, holds: null, verdict: "holds of key derivation; of rimon it was not measured" };
  const next = Math.max(keyDerivation, rimon ?? 0);
  if (encryption > next)
    return { claim, measured, holds: true, verdict: `holds, by a factor of ${round(encryption / next)}` };
  return { claim, measured, holds: false, verdict: `does not hold, by a factor of ${round(next / encryption)}` };
}

/** Three digits that count. */
export function round(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
}

// AES-256-GCM and HKDF-SHA256 as a storage node uses them: in C by the OpenSSL that Node carries, beside `openssl
// speed` and node:crypto, and with the CPU's instructions for it taken away, so that "hardware-accelerated" is a ratio.

import { createCipheriv, hkdfSync } from "node:crypto";
import { availableParallelism } from "node:os";
import { reasonOf } from "../errors.ts";
import { decrypt, encrypt, hkdf, timeCipher, type Timing } from "./primitives.ts";
import { findProgram, ownProgram, run } from "./programs.ts";
import type { Bench, BenchContext } from "./result.ts";
import { ratioOf, spread, type Pair } from "./statistics.ts";
import { GCM_VECTORS, HKDF_VECTORS } from "./vectors.ts";

const KIB = 1_024;
const DERIVED_BYTES = 32;
const SIZES = [KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1_024 * KIB];
const QUICK_SIZES = [KIB, 64 * KIB, 1_024 * KIB];
/** Where the budget asks for a comparison. */
const COMPARED_SIZES = [64 * KIB, 1_024 * KIB];

interface Masking {
  readonly name: string;
  readonly without: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Bits of OPENSSL_ia32cap, OPENSSL_ia32cap(3): CPUID 1 EDX and ECX, then CPUID 7 EBX and ECX. */
const bits = (...numbers: readonly number[]): string =>
  `~0x${numbers.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n).toString(16)}`;
const SSSE3 = 41;
const PCLMULQDQ = 33;
const AES_NI = 57;
const AVX = 60;
const [AVX2, AVX512F, SHA_NI, VAES, VPCLMULQDQ] = [5, 16, 29, 41, 42];

const MASKED: Readonly<Record<string, readonly Masking[]>> = {
  x64: [
    {
      name: "no-vaes",
      without: "VAES, VPCLMULQDQ and AVX-512",
      env: { OPENSSL_ia32cap: `:${bits(VAES, VPCLMULQDQ, AVX512F)}` },
    },
    { name: "no-sha-ni", without: "SHA-NI", env: { OPENSSL_ia32cap: `:${bits(SHA_NI)}` } },
    {
      name: "no-aes-ni",
      without: "AES-NI and PCLMULQDQ",
      env: { OPENSSL_ia32cap: `${bits(AES_NI, PCLMULQDQ)}:${bits(VAES, VPCLMULQDQ)}` },
    },
    {
      name: "portable",
      without: "AES-NI, PCLMULQDQ, SHA-NI, AVX and SSSE3",
      env: {
        OPENSSL_ia32cap: `${bits(AES_NI, PCLMULQDQ, AVX, SSSE3)}:${bits(VAES, VPCLMULQDQ, AVX2, AVX512F, SHA_NI)}`,
      },
    },
  ],
  // crypto/arm_arch.h: bit 0 is NEON; AES, PMULL and SHA have bits of their own.
  arm64: [{ name: "no-aes", without: "the AES, PMULL and SHA instructions", env: { OPENSSL_armcap: "0x1" } }],
};

export const crypto: Bench = {
  name: "crypto",
  summary: "AES-256-GCM and HKDF-SHA256, and what was claimed of them",
  async run(context) {
    verifyVectors();
    await timeCiphers(context);
    timeDerivation(context);
    await timeMasked(context);
    await compareWithOpenssl(context);
    compareWithNode(context);
  },
};

/** Throws unless what is about to be timed computes what it should. */
export function verifyVectors(): void {
  for (const { key, iv, message, sealed } of GCM_VECTORS) {
    const made = encrypt(key, iv, message);
    if (!made.equals(sealed))
      throw new Error(`AES-256-GCM gave ${made.toString("hex")}, expected ${sealed.toString("hex")}`);
    if (!decrypt(key, iv, sealed).equals(message)) throw new Error("AES-256-GCM did not give the message back");
    const forged = Buffer.from(sealed);
    forged[0] = (forged[0] ?? 0) ^ 1;
    if (!isRefused(() => decrypt(key, iv, forged))) throw new Error("AES-256-GCM took a forged message");
  }
  for (const { key, salt, info, derived } of HKDF_VECTORS) {
    const made = hkdf(key, salt, info, derived.length);
    if (!made.equals(derived))
      throw new Error(`HKDF-SHA256 gave ${made.toString("hex")}, expected ${derived.toString("hex")}`);
  }
}

function isRefused(act: () => unknown): boolean {
  try {
    act();
    return false;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPROTO";
  }
}

async function timeCiphers(context: BenchContext): Promise<void> {
  const { quick } = context;
  const cores = availableParallelism();
  const [runs, ms] = quick ? [3, 40] : [5, 80];
  for (const size of quick ? QUICK_SIZES : SIZES) {
    for (const cipher of ["encrypt", "decrypt"] as const) {
      context.progress(`AES-256-GCM, ${cipher} ${sizeWord(size)}`);
      await breathe(context);
      const one = repeat(runs, () => gbPerCpuSecond(timeCipher(cipher, size, 1, ms), size));
      context.figure({
        id: `${cipher}/${size}/one-core`,
        label: [sizeWord(size), `${cipher}, one core`],
        unit: "GB/s",
        estimate: spread(one),
        better: "higher",
      });
      if (cores === 1) continue;
      await breathe(context);
      const all = repeat(runs, () => {
        const timing = timeCipher(cipher, size, cores, ms);
        return (timing.calls * size) / timing.wallNs;
      });
      context.figure({
        id: `${cipher}/${size}/all-cores`,
        label: [sizeWord(size), `${cipher}, ${cores} cores by the clock`],
        unit: "GB/s",
        estimate: spread(all),
        better: "higher",
      });
    }
  }
  if (cores === 1) context.leftOut("*/*/all-cores", "all cores", "there is one");
}

function timeDerivation(context: BenchContext): void {
  const [runs, ms] = context.quick ? [3, 40] : [5, 80];
  context.progress("HKDF-SHA256");
  context.figure({
    id: "hkdf/one-core",
    label: "HKDF-SHA256, 32 bytes",
    unit: "µs",
    estimate: spread(repeat(runs, () => microsecondsACall(timeCipher("hkdf", DERIVED_BYTES, 1, ms)))),
  });
}

/** In children, since OpenSSL asks once what the CPU can do. Each run goes beside one with everything. */
async function timeMasked(context: BenchContext): Promise<void> {
  const maskings = MASKED[process.arch];
  if (maskings === undefined)
    return context.leftOut("*/*/gain", "masked instructions", `not known how on ${process.arch}`);
  const pairs = context.quick ? 2 : 4;
  for (const { name, without, env } of maskings) {
    context.progress(`without ${without}`);
    const gcm: Pair[] = [];
    const derivation: Pair[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      const full = await timedInChild(context, {});
      const masked = await timedInChild(context, env);
      gcm.push({ of: full.gbPerSecond, against: masked.gbPerSecond });
      derivation.push({ of: masked.hkdfUs, against: full.hkdfUs });
    }
    context.figure({
      id: `encrypt/65536/gain-over-${name}`,
      label: [`how much faster than without ${without}`, "encrypt 64 KiB"],
      unit: "×",
      estimate: ratioOf(gcm),
      better: "neither",
      interval: "95 %",
    });
    context.figure({
      id: `hkdf/gain-over-${name}`,
      label: [`how much faster than without ${without}`, "HKDF-SHA256"],
      unit: "×",
      estimate: ratioOf(derivation),
      better: "neither",
      interval: "95 %",
    });
  }
}

interface TimedInChild {
  readonly gbPerSecond: number;
  readonly hkdfUs: number;
}

async function timedInChild(
  { signal, quick }: BenchContext,
  env: Readonly<Record<string, string>>,
): Promise<TimedInChild> {
  const told = await run(process.execPath, [...ownProgram("bench/crypto-child"), quick ? "40" : "100"], {
    env,
    signal,
  });
  return JSON.parse(told) as TimedInChild;
}

/** What the child of timeMasked does: once to warm up, once to count. */
export function timeBoth(ms: number): TimedInChild {
  timeCipher("encrypt", 64 * KIB, 1, ms / 4);
  const gbPerSecond = gbPerCpuSecond(timeCipher("encrypt", 64 * KIB, 1, ms), 64 * KIB);
  return { gbPerSecond, hkdfUs: microsecondsACall(timeCipher("hkdf", DERIVED_BYTES, 1, ms)) };
}

async function compareWithOpenssl(context: BenchContext): Promise<void> {
  const path = findProgram("openssl");
  if (path === undefined)
    return context.leftOut("encrypt/*/of-openssl-speed", "openssl speed", "openssl is not installed");
  const version = /^OpenSSL (\S+)/.exec(await run(path, ["version"]))?.[1] ?? "unknown";
  // Node says 3.0.19+quic where its copy has QUIC added.
  const own = process.versions.openssl.replace(/\+.*$/, "");
  if (version !== own)
    return context.leftOut(
      "encrypt/*/of-openssl-speed",
      "openssl speed",
      `it is of another version, ${version}, than Node's ${own}`,
    );
  for (const size of context.quick ? COMPARED_SIZES.slice(0, 1) : COMPARED_SIZES) {
    const pairs: Pair[] = [];
    for (let pair = 0; pair < (context.quick ? 2 : 4); pair++) {
      context.progress(`openssl speed, ${sizeWord(size)}`);
      try {
        const against = await opensslSpeed(path, size, context.signal);
        pairs.push({ of: gbPerCpuSecond(timeCipher("encrypt", size, 1, 600), size), against });
      } catch (thrown) {
        context.signal.throwIfAborted();
        return context.leftOut("encrypt/*/of-openssl-speed", "openssl speed", reasonOf(thrown));
      }
    }
    context.figure({
      id: `encrypt/${size}/openssl-speed`,
      label: `openssl speed, ${sizeWord(size)}`,
      unit: "GB/s",
      estimate: spread(pairs.map(({ against }) => against)),
      better: "neither",
    });
    context.figure({
      id: `encrypt/${size}/of-openssl-speed`,
      label: `encrypt ${sizeWord(size)}, of openssl speed`,
      unit: "×",
      estimate: ratioOf(pairs),
      better: "higher",
      interval: "95 %",
    });
  }
}

/** Without -elapsed it counts CPU time, as we do. */
async function opensslSpeed(path: string, size: number, signal: AbortSignal): Promise<number> {
  const told = await run(path, ["speed", "-mr", "-seconds", "1", "-bytes", String(size), "-evp", "aes-256-gcm"], {
    signal,
  });
  const bytesPerSecond = Number(/^\+F:\d+:[^:]+:([\d.]+)/m.exec(told)?.[1]);
  if (!(bytesPerSecond > 0)) throw new Error(`expected a line +F: of openssl speed -mr, got ${told.slice(0, 200)}`);
  return bytesPerSecond / 1e9;
}

function compareWithNode(context: BenchContext): void {
  context.progress("node:crypto");
  const runs = context.quick ? 3 : 5;
  const ms = context.quick ? 40 : 120;
  const size = 64 * KIB;
  const [key, message] = [Buffer.alloc(32, 1), Buffer.alloc(size)];
  let chunk = 0;
  const encryptByNode = (): void => {
    const iv = Buffer.alloc(12);
    iv.writeUInt32LE(chunk++);
    const cipher = createCipheriv("aes-256-gcm", key, iv);
    cipher.update(message);
    cipher.final();
    cipher.getAuthTag();
  };
  const deriveByNode = (): void => {
    const salt = Buffer.alloc(8);
    salt.writeUInt32LE(chunk++);
    hkdfSync("sha256", key, salt, "chunk-dek-v1", DERIVED_BYTES);
  };
  const nsACall = (act: () => void): number => {
    const until = process.hrtime.bigint() + BigInt(ms) * 1_000_000n;
    const before = process.cpuUsage();
    let calls = 0;
    for (; process.hrtime.bigint() < until; calls++) act();
    const { user, system } = process.cpuUsage(before);
    return ((user + system) * 1_000) / calls;
  };
  nsACall(encryptByNode);
  nsACall(deriveByNode);
  context.figure({
    id: `encrypt/${size}/node-crypto`,
    label: `node:crypto, encrypt ${sizeWord(size)}`,
    unit: "GB/s",
    estimate: spread(repeat(runs, () => size / nsACall(encryptByNode))),
    better: "neither",
  });
  context.figure({
    id: "hkdf/node-crypto",
    label: "node:crypto, hkdfSync of 32 bytes",
    unit: "µs",
    estimate: spread(repeat(runs, () => nsACall(deriveByNode) / 1_000)),
    better: "neither",
  });
}

/** One run more than counted, to warm up. */
function repeat(runs: number, measure: () => number): number[] {
  measure();
  return Array.from({ length: runs }, measure);
}

function gbPerCpuSecond({ calls, cpuNs }: Timing, size: number): number {
  return (calls * size) / cpuNs;
}

function microsecondsACall({ calls, cpuNs }: Timing): number {
  return cpuNs / calls / 1_000;
}

function sizeWord(size: number): string {
  return size >= 1_024 * KIB ? `${size / KIB / KIB} MiB` : `${size / KIB} KiB`;
}

/** Between two calls that block: a signal is heard, and what was said is shown. */
async function breathe({ signal }: BenchContext): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal.throwIfAborted();
}

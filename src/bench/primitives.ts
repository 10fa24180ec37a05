// What the addon does for the bench, by name: loops and ciphers in C, over and over. Each call blocks until it is done.

import { requireDrillAddon } from "../native.ts";

/** By their numbers in enum bench_what of native/bench.h. */
export const LOOP = {
  getppid: 0,
  openClose: 1,
  forkExec: 2,
  mapTouch: 3,
  readMemory: 4,
  openMaps: 5,
  readProc: 6,
  mapCode: 7,
  forkRead: 8,
} as const;
const TIME = { encrypt: 9, decrypt: 10, hkdf: 11 } as const;
const ENCRYPT = 12;
const DECRYPT = 13;
const HKDF = 14;
const CPU = 15;
const HASH_FILES = 16;
const STAT_TREE = 17;
const STORM = 18;
const EXEC = 19;

const TIMING_BYTES = 24;
const TAG_BYTES = 16;

export type LoopName = keyof typeof LOOP;
export type CipherName = keyof typeof TIME;

/** What something cost that was done over and over. */
export interface Timing {
  readonly calls: number;
  /** Of the longest thread. */
  readonly wallNs: number;
  /** Of all threads, and of a loop's children. */
  readonly cpuNs: number;
}

export interface LoopOptions {
  readonly threads?: number;
  /** Of each thread; until `ms` are over if not given. */
  readonly calls?: number;
  readonly ms?: number;
  /** Of each thread; as fast as it goes if not given. */
  readonly perSecond?: number;
  readonly pid?: number;
  readonly address?: bigint;
}

export function loop(name: LoopName, options: LoopOptions): Timing {
  const { threads = 1, calls = 0, ms = 0, perSecond = 0, pid = 0, address = 0n } = options;
  return timing(LOOP[name], threads, calls, ms, perSecond, pid, address);
}

/** For so many milliseconds on so many threads; `size` is that of a message, or of what is derived. */
export function timeCipher(name: CipherName, size: number, threads: number, ms: number): Timing {
  return timing(TIME[name], threads, ms, size);
}

/** AES-256-GCM: the message and its tag. */
export function encrypt(key: Buffer, iv: Buffer, message: Buffer): Buffer {
  const into = Buffer.alloc(message.length + TAG_BYTES);
  requireDrillAddon().bench(BigUint64Array.of(BigInt(ENCRYPT)), into, key, iv, message);
  return into;
}

/** The message again; throws EPROTO if the tag is another. */
export function decrypt(key: Buffer, iv: Buffer, sealed: Buffer): Buffer {
  const into = Buffer.alloc(Math.max(0, sealed.length - TAG_BYTES));
  requireDrillAddon().bench(BigUint64Array.of(BigInt(DECRYPT)), into, key, iv, sealed);
  return into;
}

/** HKDF-SHA256. */
export function hkdf(key: Buffer, salt: Buffer, info: Buffer, length: number): Buffer {
  const into = Buffer.alloc(length);
  requireDrillAddon().bench(BigUint64Array.of(BigInt(HKDF)), into, key, salt, info);
  return into;
}

/** CPU time of this process and of the children it has waited for. */
export function cpuNs(): number {
  return timing(CPU).cpuNs;
}

/** Each of these files opened, read and hashed by SHA-256, and nothing else. */
export function hashFiles(paths: readonly string[], threads: number): Timing {
  return timingOf(paths.map((path) => `${path}\0`).join(""), HASH_FILES, threads);
}

/** statx of everything below a folder, and nothing else. */
export function statTree(folder: string, threads: number): Timing {
  return timingOf(`${folder}\0`, STAT_TREE, threads);
}

export interface StormOptions {
  readonly threads: number;
  /** Of each thread: made, written so often, closed, given another name if `moves`, removed. */
  readonly files: number;
  readonly writes: number;
  readonly moves: boolean;
  /** Files of each thread; as fast as it goes if not given. */
  readonly perSecond?: number;
}

/** Changes in a folder. */
export function changeStorm(folder: string, { threads, files, writes, moves, perSecond = 0 }: StormOptions): Timing {
  return timingOf(`${folder}\0`, STORM, threads, files, moves ? 1 : 0, perSecond, writes);
}

/**
 * How long it took to execute it and to wait for its end, each of so many times, in nanoseconds; `each`: another file each
 * time, `path` with ".0", ".1", ... behind it. Throws ECHILD if it does not end with 0.
 */
export function execTimes(path: string, times: number, each = false): number[] {
  const into = Buffer.alloc(times * 8);
  requireDrillAddon().bench(BigUint64Array.of(BigInt(EXEC), BigInt(times), each ? 1n : 0n), into, Buffer.from(path));
  return Array.from({ length: times }, (_, index) => Number(into.readBigUInt64LE(index * 8)));
}

function timing(...how: readonly (number | bigint)[]): Timing {
  return timingOf("", ...how);
}

function timingOf(bytes: string, ...how: readonly (number | bigint)[]): Timing {
  const into = Buffer.alloc(TIMING_BYTES);
  requireDrillAddon().bench(BigUint64Array.from(how, BigInt), into, Buffer.from(bytes));
  const [calls = 0, wallNs = 0, cpuNs = 0] = [...new BigUint64Array(into.buffer, into.byteOffset, 3)].map(Number);
  return { calls, wallNs, cpuNs };
}

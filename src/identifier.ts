// Identifiers that sort by time (ULID: 48 bits of milliseconds, 80 bits of randomness, Crockford's base 32).

import { randomBytes } from "node:crypto";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Returns ever greater identifiers within one process, also within a millisecond and if the clock is set back. */
export function createIdentifiers(random: () => Uint8Array = () => randomBytes(10)): (at: number) => string {
  let last = 0;
  let tail = 0n;
  return (at) => {
    const time = Math.max(Math.floor(at), last);
    tail = time === last ? tail + 1n : BigInt(`0x${Buffer.from(random()).toString("hex")}`) >> 1n;
    last = time;
    return digits(BigInt(time), 10) + digits(tail, 16);
  };
}

function digits(value: bigint, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest >>= 5n) text = ALPHABET.charAt(Number(rest & 31n)) + text;
  return text;
}

// Identifiers that sort by time (ULID: 48 bits of milliseconds, 80 bits of randomness, Crockford's base 32).

import { randomFillSync } from "node:crypto";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TIME_DIGITS = 10;
const RANDOM_DIGITS = 16;
/** Drawn at once: the generator's own code is cold when a finding is in a hurry. */
const POOL_BYTES = 4_096;

/**
 * Returns ever greater identifiers within one process, also within a millisecond and if the clock is set back.
 * `random` gives 16 bytes, of which five bits each are used.
 */
export function createIdentifiers(random: () => Uint8Array = createPool()): (at: number) => string {
  let last = 0;
  let head = "";
  let tail = new Uint8Array(RANDOM_DIGITS);
  return (at) => {
    const time = Math.max(Math.floor(at), last);
    if (time === last && head !== "") increment(tail);
    else {
      head = timeDigits(time);
      // The first bit is left out, as room to count up from the greatest.
      tail = random().map((byte, index) => byte & (index === 0 ? 15 : 31));
    }
    last = time;
    let text = head;
    for (const digit of tail) text += ALPHABET[digit];
    return text;
  };
}

function createPool(): () => Uint8Array {
  const pool = new Uint8Array(POOL_BYTES);
  let at = POOL_BYTES;
  const fill = (): void => {
    randomFillSync(pool);
    at = 0;
  };
  fill();
  return () => {
    if (at === POOL_BYTES) fill();
    at += RANDOM_DIGITS;
    return pool.subarray(at - RANDOM_DIGITS, at);
  };
}

function increment(digits: Uint8Array): void {
  for (let index = digits.length - 1; index >= 0; index--) {
    const digit = ((digits[index] ?? 0) + 1) & 31;
    digits[index] = digit;
    if (digit !== 0) return;
  }
}

function timeDigits(time: number): string {
  let text = "";
  for (let rest = time; text.length < TIME_DIGITS; rest = Math.floor(rest / 32))
    text = ALPHABET.charAt(rest % 32) + text;
  return text;
}

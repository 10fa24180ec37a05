// Walks a batch of records of native/record.h and reads their fields. Knows how records lie one behind another and
// nothing of any kind of them.

import { endianness } from "node:os";
import { RimonError } from "./errors.ts";

const HEAD_SIZE = 8;
const LITTLE = endianness() === "LE";

/** Stands on one record; offsets are from its beginning, as in record.h. */
export class RecordReader {
  kind = 0;
  readonly #buffer: Buffer;
  readonly #view: DataView;
  readonly #fixedSize: readonly number[];
  #start = 0;
  #end = 0;
  #string = 0;

  /** `fixedSize` is that of each kind's fixed part, by its number. */
  constructor(buffer: Buffer, fixedSize: readonly number[]) {
    this.#fixedSize = fixedSize;
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  /** Moves to the next record; false at the end of the batch. */
  next(): boolean {
    this.#start = this.#end;
    const left = this.#buffer.length - this.#start;
    if (left === 0) return false;
    if (left < HEAD_SIZE) throw nonsense(`${left} bytes where a record's head of ${HEAD_SIZE} was expected`);
    this.kind = this.u16(0);
    const size = this.u32(4);
    const fixed = this.#fixedSize[this.kind];
    if (fixed === undefined || fixed === 0) throw nonsense(`a record of unknown kind ${this.kind}`);
    if (size < fixed || size > left || size % 8 !== 0) {
      throw nonsense(`a record of kind ${this.kind} and ${size} bytes, expected ${fixed} to ${left} in steps of 8`);
    }
    this.#end = this.#start + size;
    this.#string = this.#start + fixed;
    return true;
  }

  u16(offset: number): number {
    return this.#view.getUint16(this.#start + offset, LITTLE);
  }

  u32(offset: number): number {
    return this.#view.getUint32(this.#start + offset, LITTLE);
  }

  bigint(offset: number): bigint {
    return this.#view.getBigUint64(this.#start + offset, LITTLE);
  }

  /** Exact up to 2^53. */
  u64(offset: number): number {
    const [low, high] = LITTLE ? [0, 4] : [4, 0];
    return this.u32(offset + high) * 0x1_0000_0000 + this.u32(offset + low);
  }

  hex(offset: number): string {
    return this.bigint(offset).toString(16);
  }

  /** Bytes of the fixed part, as hexadecimal digits. */
  fixedHex(offset: number, length: number): string {
    return this.#buffer.toString("hex", this.#start + offset, this.#start + offset + length);
  }

  /** The next string's bytes; they must be asked for in the order of record.h. */
  bytes(length: number): Buffer {
    return this.#buffer.subarray(this.#take(length), this.#string);
  }

  text(length: number): string {
    return this.#buffer.toString("utf8", this.#take(length), this.#string);
  }

  /** A character a byte: for what is compared and not shown. */
  latin1(length: number): string {
    return this.#buffer.toString("latin1", this.#take(length), this.#string);
  }

  u32s(count: number): number[] {
    const numbers: number[] = [];
    const from = this.#string - this.#start;
    this.#take(count * 4);
    for (let i = 0; i < count; i++) numbers.push(this.u32(from + i * 4));
    return numbers;
  }

  /** Where the next string begins. */
  #take(length: number): number {
    const from = this.#string;
    this.#string = from + length;
    if (this.#string > this.#end) throw nonsense(`a record of kind ${this.kind} whose strings are longer than itself`);
    return from;
  }
}

export function nonsense(what: string): RimonError {
  return new RimonError(
    "RIMON_NATIVE",
    `the addon sent ${what}; it and this rimon are not of the same build, run: npm run build`,
  );
}

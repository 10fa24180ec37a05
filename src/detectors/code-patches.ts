// What a change of code was made for, told by its bytes alone.

import type { CodeChange, Machine } from "../observation.ts";

export type PatchTechnique = "breakpoint" | "detour" | "bit-flip" | "patch";

export interface Patch {
  readonly technique: PatchTechnique;
  /** In a few words; undefined if nothing can be said but that bytes differ. */
  readonly says?: string;
}

const JUMP = "a jump was put there";
const CALL = "a call was put there";
const RETURN = "it returns at once";
const BREAKPOINT: Patch = { technique: "breakpoint", says: "a breakpoint or uprobe" };

/** Found at the beginning of a change, as hexadecimal; the most telling first. */
const X86: readonly (readonly [pattern: RegExp, says: string])[] = [
  // jmp rel32, jmp rel8, jmp [address]; before them an endbr64 that was put there anew
  [/^(?:f30f1efa)?(?:e9|eb|ff25)../, JUMP],
  // mov register, address; jmp register
  [/^(?:4[89]b[89a-f]|b[89a-f]|48c7c[0-7])(?:..){4,8}(?:41)?ffe[0-7]/, JUMP],
  // push address; ret
  [/^68(?:..){4}(?:c7442404(?:..){4})?c3/, JUMP],
  // mov register, address; push register; ret
  [/^(?:4[89])?b[89a-f](?:..){4,8}(?:41)?5[0-7]c3/, JUMP],
  // call rel32, call [address]
  [/^(?:e8|ff15)../, CALL],
  // mov register, address; call register
  [/^(?:4[89]b[89a-f]|48c7c[0-7])(?:..){4,8}(?:41)?ffd[0-7]/, CALL],
];
/** What is returned, if anything: xor eax, eax or mov eax, number. */
const X86_RETURNS = /^(?:f30f1efa)?(?:31c0|33c0|4831c0|b8(?:..){4}|48c7c0(?:..){4})?c3/;

/** Classifies one change; without the machine only what holds for all of them. */
export function classifyPatch(change: Pick<CodeChange, "length" | "found" | "expected">, machine?: Machine): Patch {
  const found = Buffer.from(change.found, "hex");
  const expected = Buffer.from(change.expected, "hex");
  const whole = change.length <= found.length;
  const patch = whole && machine !== undefined && isBreakpoints(found, expected, machine) ? BREAKPOINT : undefined;
  return patch ?? detourOf(change.found, machine) ?? smallPatch(found, expected, whole, machine);
}

/** All that differs are breakpoint instructions. */
function isBreakpoints(found: Buffer, expected: Buffer, machine: Machine): boolean {
  if (machine !== "arm64") return found.every((byte, at) => byte === 0xcc || byte === expected[at]);
  const original = wordsOf(expected);
  // BRK #number
  return wordsOf(found).every((word, at) => masked(word, 0xffe0_001f) === 0xd420_0000 || word === original[at]);
}

function detourOf(found: string, machine: Machine | undefined): Patch | undefined {
  if (machine === undefined) return undefined;
  if (machine === "arm64") return armDetourOf(wordsOf(Buffer.from(found, "hex")));
  const says = X86.find(([pattern]) => pattern.test(found))?.[1];
  return says === undefined ? undefined : { technique: "detour", says };
}

/** B or BL; or an address into a register, and within four instructions a BR or BLR to it. */
function armDetourOf(words: readonly number[]): Patch | undefined {
  const [first = 0, ...rest] = words[0] !== undefined && isLandingPad(words[0]) ? words.slice(1) : words;
  const opcode = first >>> 26;
  if (opcode === 0b000101) return { technique: "detour", says: JUMP };
  if (opcode === 0b100101) return { technique: "detour", says: CALL };
  const branch = rest.slice(0, 4).find((word) => masked(word, 0xffdf_fc1f) === 0xd61f_0000);
  if (branch === undefined) return undefined;
  return { technique: "detour", says: masked(branch, 0x0020_0000) === 0 ? JUMP : CALL };
}

/** BTI or PACIASP, which a detour leaves or repeats. */
function isLandingPad(word: number): boolean {
  return masked(word, 0xffff_ff3f) === 0xd503_241f || word === 0xd503_233f;
}

/** RET, and before it at most a number into x0. */
function returnsOnArm([first = 0, second = 0]: readonly number[]): boolean {
  const ret = 0xd65f_03c0;
  const isNumber = masked(first, 0x7f80_001f) === 0x5280_0000 || masked(first, 0x7fff_ffff) === 0x2a1f_03e0;
  return first === ret || (isNumber && second === ret);
}

function wordsOf(bytes: Buffer): number[] {
  const words: number[] = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4) words.push(bytes.readUInt32LE(at));
  return words;
}

function masked(word: number, mask: number): number {
  return (word & mask) >>> 0;
}

function smallPatch(found: Buffer, expected: Buffer, whole: boolean, machine: Machine | undefined): Patch {
  const text = found.toString("hex");
  const [byte = 0] = found;
  const [was = 0] = expected;
  const isX86 = machine === "x86" || machine === "x86-64";
  // jcc rel8 are 70 to 7f, in pairs of opposites.
  const conditional = isX86 && whole && found.length === 1 && was >> 4 === 7;
  if (whole && differingBits(found, expected) === 1) {
    const says = conditional && (byte ^ was) === 1 ? "one bit, which reverses a condition" : "one bit";
    return { technique: "bit-flip", says };
  }
  if (conditional && byte === 0xeb) return { technique: "patch", says: "a condition always holds" };
  if ((isX86 && X86_RETURNS.test(text)) || (machine === "arm64" && returnsOnArm(wordsOf(found))))
    return { technique: "patch", says: RETURN };
  if (isX86 && whole && found.every((each) => each === 0x90)) return { technique: "patch", says: "it does nothing" };
  return { technique: "patch" };
}

function differingBits(a: Buffer, b: Buffer): number {
  let bits = 0;
  for (const [at, byte] of a.entries()) for (let left = byte ^ (b[at] ?? 0); left !== 0; left &= left - 1) bits++;
  return bits;
}

// Compiles the rules of the exec gate and the digests they speak of to the table of native/gate_table.h, by which C
// answers. Everything that takes thought is done here, once.

import type { GateRule, GateVerdict } from "../configuration.ts";

const MAGIC = 0x31544752; // "RGT1"
const VERSION = 1;
export const MAX_RULES = 1024;
export const MAX_TEXTS = 2048;
export const MAX_HASHES = 4_000_000;
export const MAX_SETS = 32;
const HEAD_SIZE = 48;
const RULE_SIZE = 48;
const TEXT_SIZE = 8;
const HASH_SIZE = 36;
const LITTLE = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

const ON = { filesystem: 1, owner: 2, writers: 4, sets: 8, uid: 16, by: 32, path: 64 } as const;
const WRITERS = { owner: 1, group: 2, others: 4 } as const;

/** statfs.f_type by the name that mountinfo has; linux/magic.h. */
export const FILESYSTEMS: Readonly<Record<string, number>> = {
  btrfs: 0x9123683e,
  erofs: 0xe0f5e1e2,
  ext2: 0xef53,
  ext3: 0xef53,
  ext4: 0xef53,
  f2fs: 0xf2f52010,
  overlay: 0x794c7630,
  ramfs: 0x858458f6,
  squashfs: 0x73717368,
  tmpfs: 0x01021994,
  vfat: 0x4d44,
  xfs: 0x58465342,
};

export interface GateTable {
  /** The first that matches decides. */
  readonly rules: readonly GateRule[];
  /** Digests in lower-case hex by the name of their set; one may be in several. */
  readonly sets: ReadonlyMap<string, Iterable<string>>;
  /** Where no rule matches. */
  readonly otherwise: GateVerdict;
  /** Where it cannot be judged: too large, unreadable, too late. */
  readonly unanswered: GateVerdict;
  readonly deadlineMs: number;
  /** A larger file is not read. */
  readonly maxBytes: number;
  /** Executables that run what they open, where openings are looked at. */
  readonly interpreters: readonly string[];
  /** Executables from which anything may descend while an upgrade is declared. */
  readonly updaters: readonly string[];
}

const numberOf = (verdict: GateVerdict): number => (verdict === "deny" ? 1 : 0);

/** The bytes of native/gate_table.h. Throws a RangeError beyond its bounds, and for a set or file system without a name. */
export function compileGateTable(table: GateTable): Buffer {
  const { rules, sets, interpreters, updaters } = table;
  const strings = new Strings();
  const bits = new Map([...sets.keys()].map((name, index) => [name, 2 ** index]));
  bound("sets", bits.size, MAX_SETS);
  bound("rules", rules.length, MAX_RULES);
  bound("interpreters", interpreters.length, MAX_TEXTS);
  bound("updaters", updaters.length, MAX_TEXTS);
  const hashes = sortedHashes(sets, bits);
  bound("hashes", hashes.length, MAX_HASHES);
  const ruleBytes = rules.map((rule) => ruleOf(rule, bits, strings));
  const texts = [...interpreters, ...updaters].map((text) => strings.put(text));
  const fixed = HEAD_SIZE + rules.length * RULE_SIZE + texts.length * TEXT_SIZE + hashes.length * HASH_SIZE;
  const bytes = Buffer.alloc(fixed + strings.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const head = [MAGIC, VERSION, rules.length, interpreters.length, updaters.length, hashes.length, strings.length];
  head.push(numberOf(table.otherwise), numberOf(table.unanswered), table.deadlineMs);
  head.forEach((word, index) => view.setUint32(index * 4, word, LITTLE));
  view.setBigUint64(40, BigInt(table.maxBytes), LITTLE);
  let at = HEAD_SIZE;
  for (const words of [...ruleBytes, ...texts])
    for (const word of words) {
      view.setUint32(at, word, LITTLE);
      at += 4;
    }
  for (const [digest, members] of hashes) {
    bytes.write(digest, at, "hex");
    view.setUint32(at + 32, members, LITTLE);
    at += HASH_SIZE;
  }
  strings.copyTo(bytes, at);
  return bytes;
}

function ruleOf(rule: GateRule, bits: ReadonlyMap<string, number>, strings: Strings): readonly number[] {
  const { path, owner, writableBy, filesystem, in: sets, uid, by } = rule;
  const conditions =
    (filesystem === undefined ? 0 : ON.filesystem) |
    (owner === undefined ? 0 : ON.owner) |
    (writableBy === undefined ? 0 : ON.writers) |
    (sets === undefined ? 0 : ON.sets) |
    (uid === undefined ? 0 : ON.uid) |
    (by === undefined ? 0 : ON.by) |
    (path === undefined ? 0 : ON.path);
  const writers = (writableBy ?? []).reduce((all, writer) => all | WRITERS[writer], 0);
  const members = (sets ?? []).reduce((all, set) => all + known("set", set, bits.get(set)), 0);
  const type = filesystem === undefined ? 0 : known("file system", filesystem, FILESYSTEMS[filesystem]);
  const head = [numberOf(rule.verdict), conditions, type, owner ?? 0, writers, members, uid ?? 0, 0];
  return [...head, ...strings.put(by ?? ""), ...strings.put(path ?? "")];
}

function sortedHashes(
  sets: GateTable["sets"],
  bits: ReadonlyMap<string, number>,
): readonly (readonly [digest: string, members: number])[] {
  const members = new Map<string, number>();
  for (const [name, digests] of sets) {
    const bit = bits.get(name) ?? 0;
    for (const digest of new Set(digests)) members.set(digest, (members.get(digest) ?? 0) + bit);
  }
  // As hex they are in the order of their bytes.
  return [...members].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function known(what: string, name: string, number: number | undefined): number {
  if (number === undefined) throw new RangeError(`the gate's rules know no ${what} named "${name}"`);
  return number;
}

function bound(what: string, came: number, most: number): void {
  if (came > most) throw new RangeError(`at most ${most} ${what} were expected in the gate's table, got ${came}`);
}

/** Each text once. */
class Strings {
  length = 0;
  readonly #at = new Map<string, number>();

  put(text: string): readonly [at: number, length: number] {
    const length = Buffer.byteLength(text);
    let at = this.#at.get(text);
    if (at === undefined) {
      at = this.length;
      this.#at.set(text, at);
      this.length += length;
    }
    return [at, length];
  }

  copyTo(bytes: Buffer, from: number): void {
    for (const [text, at] of this.#at) bytes.write(text, from + at);
  }
}

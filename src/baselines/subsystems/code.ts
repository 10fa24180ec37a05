// The code that a process executes out of files: one reading of what it executes, one of the page cache, one of the
// disk. Which of them differ tells a fault from an attack.

import { counted, countedLinesOf, Malformed, type Subsystem } from "../subsystem.ts";

/** One mapping of code as it was read; undefined is what could not be. Digests are SHA-256, hexadecimal. */
export interface CodeReading {
  readonly path: string;
  readonly file: { readonly dev: number; readonly inode: number };
  readonly offset: number;
  readonly length: number;
  readonly executed?: string;
  readonly cached?: string;
  readonly stored?: string;
  /** What is executed, from the page cache. */
  readonly memory?: Difference;
  /** The disk, from the page cache. */
  readonly disk?: Difference;
}

interface Difference {
  readonly pages: number;
  readonly bits: number;
}

const HOUR_MS = 3_600_000;
const DIGEST = String.raw`([0-9a-f]{64}|-)`;
const DIFFERENCE = String.raw`(\d{1,10}/\d{1,16}|-)`;
const LINE = new RegExp(
  String.raw`^([0-9a-f]{1,14}) ([0-9a-f]{1,14}) (\d{1,16}:\d{1,16}) ${DIGEST} ${DIGEST} ${DIGEST} ${DIFFERENCE} ${DIFFERENCE} (.+)$`,
);

/** The text "code": a line for each mapping, "-" for what is not known, and how many there are. */
export function codeText(readings: readonly CodeReading[]): string {
  const difference = (each: Difference | undefined): string =>
    each === undefined ? "-" : `${each.pages}/${each.bits}`;
  return counted(
    readings.map(({ path, file, offset, length, executed, cached, stored, memory, disk }) => {
      const place = `${offset.toString(16)} ${length.toString(16)} ${file.dev}:${file.inode}`;
      const digests = [executed, cached, stored].map((digest) => digest ?? "-").join(" ");
      return `${place} ${digests} ${difference(memory)} ${difference(disk)} ${path}`;
    }),
    "mappings",
  );
}

const COPIES = "copies of";
const ON_DISK = "on disk";

export const code: Subsystem = {
  name: "code",
  of: "process",
  sees: "the code a process executes out of its program and libraries, against the page cache and the disk",
  texts: ["code"],
  everyMs: HOUR_MS,
  facts({ code: text = "" }) {
    const facts: Record<string, string> = {};
    for (const [index, line] of countedLinesOf("code", text, "mappings").entries()) {
      const [, offset = "", , , executed = "", , stored = "", memory = "", disk = "", path] = LINE.exec(line) ?? [];
      if (path === undefined || [memory, disk].some((each) => /^0\/.*[1-9]|^\d*[1-9]\d*\/0+$/.test(each)))
        throw new Malformed("code", `line ${index + 1} is none that rimon writes`);
      // The file of a program that runs may be replaced by a new one; it runs the old one's code all the same.
      const once = `${path.replace(/ \(deleted\)$/, "")} at ${offset}`;
      const place = facts[once] === undefined ? once : `${once}, line ${index + 1}`;
      facts[place] = executed === "-" ? "cannot be read" : `sha256 ${executed}`;
      if (differs(memory)) facts[`${COPIES} ${place}`] = said(memory, "the page cache");
      if (differs(disk)) facts[`${place} ${ON_DISK}`] = `${said(disk, "the page cache")}, sha256 ${stored}`;
    }
    return facts;
  },
  /** What is mapped anew, or no more, is for memory-maps to tell. */
  tells() {
    return ({ fact, expected, actual }) => isDifference(fact) || (expected !== undefined && actual !== undefined);
  },
  verdict({ fact, actual }, before, now) {
    const place = fact.replace(new RegExp(`^${COPIES} | ${ON_DISK}$`, "g"), "");
    const [was, is] = [before[place], now[place]];
    // What was not readable, or is mapped anew, says nothing about its bytes.
    if (was?.startsWith("sha256 ") !== true || is?.startsWith("sha256 ") !== true) return undefined;
    // It is gone: the readings agree again.
    if (actual === undefined) return undefined;
    const [ownBefore, own] = [before[`${COPIES} ${place}`], now[`${COPIES} ${place}`]];
    if (ownBefore !== own && !fact.endsWith(` ${ON_DISK}`))
      return ownBefore === undefined && own?.endsWith(" by 1 bit") === true
        ? "one-bit fault in memory"
        : "patched in memory";
    // The disk alone still is what it was; or every reading is another, or the disk alone.
    return was !== is && now[`${place} ${ON_DISK}`]?.endsWith(`, ${was}`) === true
      ? "corrupt page cache"
      : "file changed on disk";
  },
};

/** Of a place; not its digest. */
function isDifference(fact: string): boolean {
  return fact.startsWith(`${COPIES} `) || fact.endsWith(` ${ON_DISK}`);
}

function differs(difference: string): boolean {
  return difference !== "-" && difference !== "0/0";
}

function said(difference: string, from: string): string {
  const [pages = 0, bits = 0] = difference.split("/").map(Number);
  return `${pages} ${pages === 1 ? "page differs" : "pages differ"} from ${from} by ${bits} ${bits === 1 ? "bit" : "bits"}`;
}

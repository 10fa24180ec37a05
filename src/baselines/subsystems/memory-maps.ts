import { linesOf, Malformed, type Facts, type Subsystem } from "../subsystem.ts";

/** Of a file that is mapped as programs and libraries are, and nothing of it can be executed. */
const WITHOUT_CODE = "without code";
const ANONYMOUS = "executable memory of no file";
const WRITABLE = "memory that is writable and executable";
const SOME = "there is some";

interface Line {
  readonly start: bigint;
  readonly end: bigint;
  readonly permissions: string;
  readonly offset: string;
  readonly file: string;
  readonly path: string;
}

/** proc_pid_maps(5); inode 0 is memory of no file. */
const LINE =
  /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][ps]) ([0-9a-f]{1,16}) ([0-9a-f]{2,8}:[0-9a-f]{2,8}) (\d{1,20}) *(.*)$/;
/** The kernel's own pages for user-space probes: that somebody sets probes is for others to tell. */
const PROBES: ReadonlySet<string> = new Set(["[uprobes]", "[uprobes-trampoline]"]);

export const memoryMaps: Subsystem = {
  name: "memory-maps",
  of: "process",
  sees: "what a process has mapped of its program and libraries and with which rights, and memory that is executable",
  texts: ["maps"],
  facts({ maps = "" }) {
    const lines = linesOf("maps", maps).map(parse);
    for (const [index, { start, end }] of lines.entries()) {
      const before = lines[index - 1];
      if (start >= end || (before !== undefined && start < before.end))
        throw new Malformed("maps", `line ${index + 1} is not behind the one before it, or empty`);
    }
    const images = new Set(lines.filter((line) => isExecutable(line)).map(({ file }) => file));
    const facts: Record<string, string> = {};
    for (const { file, path, permissions, offset } of lines)
      if (
        file !== "" &&
        !images.has(file) &&
        permissions.endsWith("p") &&
        (permissions.includes("w") || offset !== "0")
      )
        facts[`${file} ${WITHOUT_CODE}`] = path;
    const odd = { [ANONYMOUS]: false, [WRITABLE]: false };
    for (const line of lines) {
      const { file, path, permissions, offset } = line;
      const size = (line.end - line.start).toString(16);
      if (PROBES.has(path)) continue;
      if (isExecutable(line) && permissions.includes("w")) odd[WRITABLE] = true;
      if (path.startsWith("[")) {
        // Data and stack grow; what they may be used for does not change.
        facts[path] = path === "[heap]" || path === "[stack]" ? permissions : `${permissions} ${size} bytes`;
      } else if (file !== "" && images.has(file)) {
        facts[`${file} at ${offset}`] = `${permissions} ${size} bytes of ${path}`;
      } else if (file === "" && isExecutable(line)) odd[ANONYMOUS] = true;
    }
    // A program that compiles at run time has more of it and less of it all day.
    for (const [name, there] of Object.entries(odd)) facts[name] = there ? SOME : "none";
    return facts;
  },
  tells(before, now) {
    const [mapped, mappedNow] = [filesIn(before), filesIn(now)];
    return ({ fact, expected, actual }) => {
      if (fact === ANONYMOUS || fact === WRITABLE) return actual === SOME;
      if (fact.endsWith(WITHOUT_CODE)) return false;
      const file = fileOf(fact);
      if (file === undefined) return true;
      if (actual !== undefined && isLoaded(file, fact, actual, before)) return false;
      // A library that is new is told by its code; one that is unloaded as a whole may come back as it was. One that lost
      // its code alone has had it replaced.
      if (expected === undefined) return mapped.has(file) || actual?.slice(0, 4).includes("x") === true;
      return actual !== undefined || mappedNow.has(file) || now[`${file} ${WITHOUT_CODE}`] !== undefined;
    };
  },
};

/**
 * Whether a snapshot saw a library as it was being loaded: data that the loader had written to and then has made read-only
 * (RELRO), and the rest of it.
 */
function isLoaded(file: string, fact: string, actual: string, before: Facts): boolean {
  const [, length, path] = /^r[w-]-p ([0-9a-f]+) bytes of (.*)$/s.exec(actual) ?? [];
  if (length === undefined) return false;
  const at = Number.parseInt(fact.slice(`${file} at `.length), 16);
  return Object.entries(before).some(([known, was]) => {
    const [, size, name] = fileOf(known) === file ? (/^rw-p ([0-9a-f]+) bytes of (.*)$/s.exec(was) ?? []) : [];
    if (size === undefined || name !== path) return false;
    const start = Number.parseInt(known.slice(`${file} at `.length), 16);
    const end = start + Number.parseInt(size, 16);
    return at >= start && at + Number.parseInt(length, 16) <= end;
  });
}

function filesIn(facts: Facts): ReadonlySet<string> {
  return new Set(Object.keys(facts).flatMap((fact) => fileOf(fact) ?? []));
}

/** Of a mapping of a file: which file. */
function fileOf(fact: string): string | undefined {
  return /^(file \S+ \d+) at /.exec(fact)?.[1];
}

function isExecutable({ permissions }: Line): boolean {
  return permissions.includes("x");
}

function parse(line: string, index: number): Line {
  const [, start, end, permissions, offset, device, inode, path] = LINE.exec(line) ?? [];
  if (
    start === undefined ||
    end === undefined ||
    permissions === undefined ||
    offset === undefined ||
    path === undefined
  )
    throw new Malformed("maps", `line ${index + 1} is none that the kernel writes`);
  return {
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    permissions,
    offset: offset.replace(/^0+(?=.)/, ""),
    file: inode === "0" ? "" : `file ${device} ${inode}`,
    path,
  };
}

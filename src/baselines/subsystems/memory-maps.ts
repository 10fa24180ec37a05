import { linesOf, Malformed, type Subsystem } from "../subsystem.ts";

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
    const odd = { "executable memory of no file": false, "memory that is writable and executable": false };
    for (const line of lines) {
      const { file, path, permissions, offset } = line;
      const size = (line.end - line.start).toString(16);
      if (PROBES.has(path)) continue;
      if (isExecutable(line) && permissions.includes("w")) odd["memory that is writable and executable"] = true;
      if (path.startsWith("[")) {
        // Data and stack grow; what they may be used for does not change.
        facts[path] = path === "[heap]" || path === "[stack]" ? permissions : `${permissions} ${size} bytes`;
      } else if (file !== "" && images.has(file)) {
        facts[`${file} at ${offset}`] = `${permissions} ${size} bytes of ${path}`;
      } else if (file === "" && isExecutable(line)) odd["executable memory of no file"] = true;
    }
    // A program that compiles at run time has more of it and less of it all day.
    for (const [name, there] of Object.entries(odd)) facts[name] = there ? "there is some" : "none";
    return facts;
  },
};

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

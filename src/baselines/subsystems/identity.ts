import { linesOf, Malformed, type Subsystem } from "../subsystem.ts";

export const executable: Subsystem = {
  name: "executable",
  of: "process",
  sees: "the file a process runs",
  texts: ["exe", "stat"],
  facts({ exe = "", stat = "" }) {
    const [line = ""] = linesOf("exe", exe);
    const [, file, path] = /^(\d+:\d+) (.*)$/s.exec(line) ?? [];
    if (file === undefined || path === undefined) throw new Malformed("exe", `expected "device:inode path"`);
    const [text = ""] = linesOf("stat", stat);
    // proc_pid_stat(5): the name may hold spaces and parentheses; fields 3 and on come behind the last one.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const [startCode, endCode, startStack] = [fields[23], fields[24], fields[25]];
    if (startCode === undefined || endCode === undefined || startStack === undefined || !/^\d+$/.test(startStack))
      throw new Malformed("stat", "it has fewer fields than every kernel writes");
    return { file: `${file} ${path}`, image: `${startCode} ${endCode} ${startStack}` };
  },
  rule({ fact }, before, now) {
    // execve(2) lays out memory anew; prctl(2) PR_SET_MM_EXE_FILE alone changes the link and nothing else.
    return fact === "file" && before["image"] === now["image"] && fileOf(before["file"]) !== fileOf(now["file"])
      ? "a process runs another file only after execve, and there was none (PR_SET_MM_EXE_FILE can pretend it)"
      : undefined;
  },
};

/** Without the path, which changes when the file is renamed or removed. */
function fileOf(fact: string | undefined): string | undefined {
  return fact?.split(" ")[0];
}

export const securityLabel: Subsystem = {
  name: "lsm-label",
  of: "process",
  sees: "the label that security modules know a process by",
  texts: ["attr"],
  facts({ attr = "" }) {
    // AppArmor ends it with a newline, SELinux with a NUL; the source has taken both off and put one newline there.
    const [label = ""] = linesOf("attr", attr);
    return { label };
  },
};

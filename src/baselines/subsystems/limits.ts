import { bits, linesOf, Malformed, type Subsystem } from "../subsystem.ts";

/** proc_pid_limits(5): columns as wide as these, whatever stands in them. */
const LINE = /^(Max [a-z ]+?) {2,}(unlimited|\d+) +(unlimited|\d+)(?: +([a-z]+))? *$/;

export const limits: Subsystem = {
  name: "limits",
  of: "process",
  sees: "the resource limits of a process, and what a dump of it would hold",
  texts: ["limits"],
  optional: ["coredump_filter"],
  facts({ limits: text = "", coredump_filter: filter }) {
    const facts: Record<string, string> = {};
    const [head, ...lines] = linesOf("limits", text);
    if (head?.startsWith("Limit ") !== true) throw new Malformed("limits", "its first line is not the head of a table");
    for (const [index, line] of lines.entries()) {
      const [, name, soft, hard] = LINE.exec(line) ?? [];
      if (name === undefined) throw new Malformed("limits", `line ${index + 2} is none that the kernel writes`);
      facts[name] = `${soft} ${hard}`;
    }
    if (filter !== undefined) {
      const [value = ""] = linesOf("coredump_filter", filter);
      bits("coredump_filter", "it", value);
      facts["coredump_filter"] = value;
    }
    return facts;
  },
};

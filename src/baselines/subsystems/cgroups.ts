import { linesOf, Malformed, type Subsystem } from "../subsystem.ts";

export const cgroups: Subsystem = {
  name: "cgroups",
  of: "process",
  sees: "the control groups a process is in, and their limits on memory, processes, CPU and I/O",
  texts: ["cgroup"],
  optional: ["cgroup-limits"],
  facts({ cgroup = "", "cgroup-limits": limits }) {
    const facts: Record<string, string> = {};
    for (const [index, line] of linesOf("cgroup", cgroup).entries()) {
      // cgroups(7): hierarchy-ID:controller-list:cgroup-path
      const [, id, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
      if (id === undefined || path === undefined)
        throw new Malformed("cgroup", `line ${index + 1} is not "hierarchy:controllers:path"`);
      facts[controllers === "" ? "unified" : `${controllers}`] = path;
    }
    for (const line of limits === undefined ? [] : linesOf("cgroup-limits", limits)) {
      const space = line.indexOf(" ");
      if (space <= 0) throw new Malformed("cgroup-limits", `expected "file value", got ${JSON.stringify(line)}`);
      facts[line.slice(0, space)] = line.slice(space + 1);
    }
    return facts;
  },
};

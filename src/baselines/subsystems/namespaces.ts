import { linesOf, Malformed, type Subsystem } from "../subsystem.ts";

export const namespaces: Subsystem = {
  name: "namespaces",
  of: "process",
  sees: "the namespaces a process is in, and those its children will be",
  texts: ["ns"],
  facts({ ns = "" }) {
    const facts: Record<string, string> = {};
    for (const [index, line] of linesOf("ns", ns).entries()) {
      // The link's name, and what it leads to: "mnt mnt:[4026531841]" (namespaces(7)).
      const [, name, place] = /^([a-z_]+) ([a-z]+:\[\d+\])$/.exec(line) ?? [];
      if (name === undefined || place === undefined)
        throw new Malformed("ns", `line ${index + 1} is not "name kind:[number]"`);
      facts[name] = place;
    }
    return facts;
  },
  rule({ fact, expected, actual }) {
    // pid_namespaces(7): membership is for life; unshare and setns change only what children get.
    return fact === "pid" && expected !== undefined && actual !== undefined
      ? "no process leaves its pid namespace"
      : undefined;
  },
};

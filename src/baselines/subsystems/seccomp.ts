import { decimal, fieldsOf, pick, type Subsystem } from "../subsystem.ts";

const SEES: Readonly<Record<string, string>> = { 0: "no filter", 1: "strict", 2: "filters" };

export const seccomp: Subsystem = {
  name: "seccomp",
  of: "process",
  sees: "NoNewPrivs, seccomp mode and number of filters, mitigations of speculation",
  texts: ["status"],
  facts({ status = "" }) {
    // Seccomp_filters since v5.9, c818c03b661c.
    const fields = fieldsOf("status", status);
    const facts = pick("status", fields, ["NoNewPrivs", "Seccomp"], [
      "Seccomp_filters",
      "Speculation_Store_Bypass",
      "SpeculationIndirectBranch",
    ]); // prettier-ignore
    for (const name of ["NoNewPrivs", "Seccomp", "Seccomp_filters"])
      if (facts[name] !== undefined) decimal("status", name, facts[name]);
    return facts;
  },
  rule({ fact, expected, actual }) {
    if (expected === undefined || actual === undefined) return undefined;
    // prctl(2), PR_SET_NO_NEW_PRIVS: once set it cannot be unset.
    if (fact === "NoNewPrivs" && Number(actual) < Number(expected)) return "NoNewPrivs is never taken back";
    // linux: kernel/seccomp.c, seccomp_may_assign_mode()
    if (fact === "Seccomp" && expected !== "0")
      return `a process stays in the mode of seccomp it is in (${SEES[expected] ?? expected})`;
    if (fact === "Seccomp_filters" && Number(actual) < Number(expected)) return "seccomp filters are never taken off";
    return undefined;
  },
};

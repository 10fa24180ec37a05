import type { Change } from "../../isolation-changed.ts";
import { bits, decimal, fieldsOf, Malformed, pick, type Facts, type Subsystem } from "../subsystem.ts";

const SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] as const;

export const capabilities: Subsystem = {
  name: "capabilities",
  of: "process",
  sees: "the sets of capabilities, and the real and saved user and group",
  texts: ["status"],
  optional: ["ns"],
  facts({ status = "", ns }) {
    const fields = fieldsOf("status", status);
    const facts: Record<string, string> = { ...pick("status", fields, SETS) };
    for (const set of SETS) bits("status", set, facts[set] ?? "");
    for (const name of ["Uid", "Gid"] as const) {
      const four = (fields.get(name) ?? "").split(/\s+/);
      if (four.length !== 4) throw new Malformed("status", `${name} must be four numbers`);
      for (const each of four) decimal("status", name, each);
      // Effective and filesystem ids go to and fro in servers that act for others.
      facts[`${name}, real and saved`] = `${four[0]} ${four[2]}`;
    }
    const user = ns === undefined ? undefined : /^user (user:\[\d+\])$/m.exec(ns)?.[1];
    if (user !== undefined) facts["user namespace"] = user;
    return facts;
  },
  rule({ fact, expected, actual }, before, now) {
    if (fact !== "CapBnd" || expected === undefined || actual === undefined) return undefined;
    // user_namespaces(7): whoever makes one of their own gets all of them there.
    if (before["user namespace"] !== now["user namespace"]) return undefined;
    const gained = BigInt(`0x${actual}`) & ~BigInt(`0x${expected}`);
    // capabilities(7): capabilities are dropped from the bounding set, and none ever gets back in.
    return gained === 0n ? undefined : "no capability gets back into the bounding set";
  },
  contradictions(now) {
    const of = (set: (typeof SETS)[number]): bigint => BigInt(`0x${now[set]}`);
    // capabilities(7): effective ones are among the permitted, ambient ones both permitted and inheritable.
    return [
      beyond(now, "CapEff", of("CapEff") & ~of("CapPrm"), "no capability is effective that is not permitted"),
      beyond(
        now,
        "CapAmb",
        of("CapAmb") & ~(of("CapPrm") & of("CapInh")),
        "no capability is ambient that is not both permitted and inheritable",
      ),
    ].flatMap((change) => change ?? []);
  },
};

function beyond(now: Facts, set: string, extra: bigint, impossible: string): Change | undefined {
  return extra === 0n ? undefined : { fact: set, ...(now[set] === undefined ? {} : { actual: now[set] }), impossible };
}

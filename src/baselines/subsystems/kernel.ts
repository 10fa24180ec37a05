// What of the kernel itself must stay as it was.

import { linesOf, Malformed, type Subsystem } from "../subsystem.ts";

export const modules: Subsystem = {
  name: "modules",
  of: "kernel",
  sees: "the modules that are loaded",
  texts: ["modules"],
  facts({ modules: text = "" }) {
    const facts: Record<string, string> = {};
    for (const [index, line] of linesOf("modules", text).entries()) {
      // linux: kernel/module/procfs.c, m_show(): name size users of-whom state address (taints)
      const [name, size, users, , state, address, ...taints] = line.split(" ");
      if (
        name === undefined ||
        size === undefined ||
        !/^\d+$/.test(size) ||
        !/^(?:\d+|-)$/.test(users ?? "") ||
        address === undefined
      )
        throw new Malformed("modules", `line ${index + 1} is none that the kernel writes`);
      if (state === "Live") facts[name] = [`${size} bytes`, ...taints].join(" ");
    }
    return facts;
  },
};

/** Written once, they stay until the next boot: the value from which there is no way back, and what the kernel says. */
const ONE_WAY: Readonly<Record<string, { readonly from: string; readonly rule: string }>> = {
  "kernel.modules_disabled": { from: "1", rule: "modules_disabled is never taken back (sysctl/kernel.rst)" },
  "kernel.kexec_load_disabled": { from: "1", rule: "kexec_load_disabled is never taken back (sysctl/kernel.rst)" },
  "kernel.unprivileged_bpf_disabled": { from: "1", rule: "unprivileged_bpf_disabled is never taken back from 1 (sysctl/kernel.rst)" },
  "kernel.yama.ptrace_scope": { from: "3", rule: "ptrace_scope is never taken back from 3 (LSM/Yama.rst)" },
}; // prettier-ignore

export const sysctls: Subsystem = {
  name: "sysctls",
  of: "kernel",
  sees: "settings of the kernel that decide who may read whose memory, load code, or get a dump",
  texts: ["sysctl"],
  facts({ sysctl = "" }) {
    const facts: Record<string, string> = {};
    for (const [index, line] of linesOf("sysctl", sysctl).entries()) {
      const [, name, value] = /^([a-z0-9_.]+) = (.*)$/.exec(line) ?? [];
      if (name === undefined || value === undefined)
        throw new Malformed("sysctl", `line ${index + 1} is not "name = value"`);
      facts[name] = value;
    }
    return facts;
  },
  rule({ fact, expected }) {
    const way = ONE_WAY[fact];
    return way !== undefined && expected === way.from ? way.rule : undefined;
  },
};

/** Weakest first. */
const LOCKDOWN = ["none", "integrity", "confidentiality"];

export const security: Subsystem = {
  name: "security",
  of: "kernel",
  sees: "the security modules, lockdown, taint and command line of the kernel",
  texts: ["cmdline", "tainted"],
  optional: ["lsm", "lockdown"],
  facts({ cmdline = "", tainted = "", lsm, lockdown }) {
    const [line = ""] = linesOf("cmdline", cmdline);
    const [taint = ""] = linesOf("tainted", tainted);
    if (!/^\d+$/.test(taint)) throw new Malformed("tainted", `expected a number, got ${JSON.stringify(taint)}`);
    const level = lockdown === undefined ? undefined : /\[([a-z]+)\]/.exec(lockdown)?.[1];
    if (lockdown !== undefined && level === undefined)
      throw new Malformed("lockdown", `expected one level in brackets, got ${JSON.stringify(lockdown)}`);
    return {
      "command line": line,
      taint,
      ...(lsm === undefined ? {} : { "security modules": lsm.trim() }),
      ...(level === undefined ? {} : { lockdown: level }),
    };
  },
  rule({ fact, expected = "", actual = "" }) {
    switch (fact) {
      case "command line":
        return "the command line is that of the boot";
      case "security modules":
        return "security modules are those of the boot";
      case "taint":
        // linux: kernel/panic.c, add_taint(): bits are set, and proc_taint() can only add.
        return (BigInt(expected) & ~BigInt(actual)) === 0n
          ? undefined
          : "a taint of the kernel stays until the next boot";
      case "lockdown":
        // kernel_lockdown(7), linux: security/lockdown/lockdown.c, lock_kernel_down()
        return LOCKDOWN.indexOf(actual) < LOCKDOWN.indexOf(expected) ? "lockdown is only ever raised" : undefined;
    }
    return undefined;
  },
};

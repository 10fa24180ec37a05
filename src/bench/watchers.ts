// Who watches while a load runs: nobody, rimon, the kernel's audit with its daemon, strace.

import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pause, startRimon } from "./monitors.ts";
import { findProgram, run, Service } from "./programs.ts";

export interface Watching {
  /** Told of the process that is to be protected. */
  attach?(pid: number): Promise<void>;
  /** How many findings of this rule there were; undefined where there is no such thing. */
  findings?(rule: string): number;
  end(): Promise<void>;
}

export interface Watcher {
  readonly name: string;
  readonly label: string;
  readonly sees: "what runs" | "what starts after it";
  /** Why it cannot be had here. */
  missing(): Promise<string | undefined>;
  start(folder: string, comm: string, signal: AbortSignal): Promise<Watching>;
}

/** After its start a watcher has things to do once. */
const SETTLED_MS = 500;

export const nobody: Watcher = {
  name: "off",
  label: "nobody",
  sees: "what runs",
  missing: async () => undefined,
  start: async () => ({ async end() {} }),
};

function rimon(mode: "monitor" | "enforce"): Watcher {
  return {
    name: mode,
    label: `rimon, ${mode}`,
    sees: "what runs",
    missing: async () => undefined,
    async start(folder, comm, signal) {
      const running = await startRimon(folder, [`comm:${comm}`], { mode });
      await pause(SETTLED_MS, signal);
      return { findings: (rule) => running.findings.get(rule) ?? 0, end: running.end };
    },
  };
}

export const RIMON: readonly Watcher[] = [rimon("monitor"), rimon("enforce")];

const AUDIT_KEY = "rimon-bench";
/** What comes nearest to what rimon sees: the calls, and opens below /proc, where a rule cannot name PID/mem alone. */
const AUDIT_RULES = [
  ["-S", "ptrace", "-S", "process_vm_readv", "-S", "process_vm_writev"],
  ["-S", "openat", "-F", "dir=/proc"],
];
/** A task that was made while audit was on is looked at, at each system call, for as long as it lives; unless this is there. */
const NO_TASK = ["task,never"];

/**
 * Only where nobody uses audit: its rules are the node's. What it leaves behind is one rule that says that no process is
 * audited, since the kernel would look at every new one until the next boot, and auditd takes it away at its own start.
 */
export const auditd: Watcher = {
  name: "auditd",
  label: "auditd",
  sees: "what starts after it",
  async missing() {
    const [daemon, auditctl] = [findProgram("auditd"), findProgram("auditctl")];
    if (daemon === undefined || auditctl === undefined)
      return "auditd not installed; on Debian: apt-get install auditd";
    const status = await run(auditctl, ["-s"]).catch((thrown: unknown) => String(thrown));
    const enabled = /^enabled (\d)/m.exec(status)?.[1];
    if (enabled === undefined) return `the kernel's audit cannot be asked: ${status.trim().split("\n")[0] ?? ""}`;
    if (enabled !== "0" || !/^pid 0$/m.test(status)) return "audit is in use on this node, and is not to be disturbed";
    const rules = (await run(auditctl, ["-l"])).trim();
    if (rules !== "No rules" && rules !== "-a never,task")
      return "this node has audit rules, and is not to be disturbed";
    return undefined;
  },
  async start(folder, _, signal) {
    const auditctl = findProgram("auditctl") ?? "auditctl";
    const config = mkdtempSync(join(folder, "audit-"));
    writeFileSync(
      join(config, "auditd.conf"),
      [
        `log_file = ${join(config, "audit.log")}`,
        "log_format = RAW\nflush = INCREMENTAL_ASYNC\nfreq = 50\nlocal_events = yes\nwrite_logs = yes",
        "space_left = 75\nadmin_space_left = 50\nspace_left_action = IGNORE\nadmin_space_left_action = IGNORE\n",
      ].join("\n"),
      { mode: 0o600 },
    );
    await run(auditctl, ["-D"]);
    const daemon = new Service(findProgram("auditd") ?? "auditd", ["-n", "-s", "enable", "-c", config]);
    const release = async (): Promise<void> => {
      await run(auditctl, ["-D"]);
      await run(auditctl, ["-e", "0"]);
      await daemon.end();
      await run(auditctl, ["-a", ...NO_TASK]);
    };
    try {
      await pause(SETTLED_MS, signal);
      if (!new RegExp(`^pid ${daemon.pid}$`, "m").test(await run(auditctl, ["-s"])))
        throw new Error("auditd was started, and the kernel does not send it what it audits");
      for (const rule of AUDIT_RULES)
        await run(auditctl, ["-a", "always,exit", "-F", "arch=b64", ...rule, "-k", AUDIT_KEY]);
    } catch (thrown) {
      await release();
      throw thrown;
    }
    return { end: release };
  },
};

export const strace: Watcher = {
  name: "strace",
  label: "strace -f",
  sees: "what runs",
  missing: async () => (findProgram("strace") === undefined ? "strace is not installed" : undefined),
  async start() {
    let tracer: Service | undefined;
    return {
      async attach(pid) {
        tracer = new Service(findProgram("strace") ?? "strace", ["-f", "-qq", "-o", "/dev/null", "-p", String(pid)]);
        await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
      },
      async end() {
        // It lets go of whom it traces at SIGTERM.
        await tracer?.end();
      },
    };
  },
};

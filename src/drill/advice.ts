// From facts about the node to what to change: one rule per weakness, each with a command or a setting. Pure.

import type { Severity } from "../finding.ts";
import type { DiagnosedSensor, DiagnosedTechnique } from "./diagnosis.ts";
import type { HostFacts } from "./host-facts.ts";

export interface Advice {
  readonly severity: Severity;
  /** The fact or the sensor it is about. */
  readonly about: keyof HostFacts | "sensor" | "technique";
  readonly problem: string;
  /** A command, a setting or a boot parameter. */
  readonly change: string;
  readonly gives: string;
}

export interface Diagnosis {
  readonly host: HostFacts;
  readonly sensors: readonly DiagnosedSensor[];
  readonly techniques: readonly DiagnosedTechnique[];
}

type Rule = (diagnosis: Diagnosis) => readonly Advice[];

/** The queue's default since Linux 2.6.36. */
const DEFAULT_QUEUE = 16_384;

/** Known to keep what they get where only root reads it. */
const CORE_HANDLERS =
  /^\|\s*(?:\/usr)?\/(?:lib\/systemd\/systemd-coredump|share\/apport\/apport|libexec\/abrt-hook-ccpp)\b/;
const DISCARDS = /^\|\s*(?:\/usr)?\/bin\/(?:false|true)\s*$/;

/** Where core dumps go, in words. */
export function judgeCorePattern(pattern: string): { readonly weak: boolean; readonly says: string } {
  if (pattern === "") return { weak: false, says: "no core file is written" };
  if (DISCARDS.test(pattern)) return { weak: false, says: "dumps are thrown away" };
  if (pattern.startsWith("@")) return { weak: true, says: "dumps go to a socket, whatever RLIMIT_CORE says" };
  if (CORE_HANDLERS.test(pattern)) {
    return { weak: true, says: "dumps go to the distribution's handler, which stores them, whatever RLIMIT_CORE says" };
  }
  if (pattern.startsWith("|")) return { weak: true, says: "dumps go to a program, whatever RLIMIT_CORE says" };
  return { weak: false, says: "dumps are files, where RLIMIT_CORE allows them" };
}

const RULES: readonly Rule[] = [
  ({ host }) =>
    host.platform === "linux"
      ? []
      : [
          {
            severity: "critical",
            about: "platform",
            problem: `rimon watches Linux nodes; this is ${host.platform}`,
            change: "run rimon on the Linux node itself; replay, verify and explain work here",
            gives: "detection",
          },
        ],

  ({ host }) =>
    host.platform !== "linux" || host.addon === undefined
      ? []
      : [
          {
            severity: "critical",
            about: "addon",
            problem: host.addon,
            change:
              "build it (it needs gcc and g++), or run rimon where its package has it prebuilt: Linux with glibc on x64 or arm64",
            gives: "every sensor",
          },
        ],

  ({ sensors }) => {
    const missing = [...new Set(sensors.flatMap((sensor) => sensor.missing))];
    return missing.map((capability) => {
      const concerned = sensors.filter((sensor) => sensor.missing.includes(capability));
      const name = `CAP_${capability.toUpperCase()}`;
      const blind = concerned.some(({ health }) => health === "unavailable");
      return {
        severity: "high",
        about: "capabilities",
        problem: `without ${name}, ${concerned.map((sensor) => sensor.name).join(", ")} ${blind ? "cannot be attached" : "see the processes of rimon's own user only"}`,
        change: `run rimon as root, or give it ${name} (systemd: AmbientCapabilities=${name}; Kubernetes: securityContext.capabilities.add: [${capability.toUpperCase()}])`,
        gives: blind ? concerned.map(({ sees }) => sees).join("; ") : "the processes of every user",
      };
    });
  },

  ({ host, sensors }) =>
    sensors
      .filter(({ health, missing }) => health === "unavailable" && missing.length === 0)
      .map(({ name, reason, sees }) => ({
        severity: "high",
        about: "sensor",
        problem: `${name} cannot be attached: ${reason ?? "no reason was given"}`,
        change: howToAttach(name, host),
        gives: sees,
      })),

  ({ host }) =>
    host.nodePids === false
      ? [
          {
            severity: "high",
            about: "nodePids",
            problem: "rimon runs in a pid namespace of its own and sees the processes in it only",
            change: "share the node's (Kubernetes: hostPID: true; Docker: --pid=host)",
            gives: "every process of the node",
          },
        ]
      : [],

  ({ host }) =>
    host.nodeUsers === false
      ? [
          {
            severity: "high",
            about: "nodeUsers",
            problem: "rimon runs in a user namespace of its own: its capabilities do not count for the node",
            change: "run it without one (Docker: --userns=host; Kubernetes: hostUsers: true)",
            gives: "fanotify, the process connector and other users' processes",
          },
        ]
      : [],

  ({ host, techniques }) => {
    const open = techniques
      .filter(({ outcome, yama }) => outcome === "blind" && yama === true)
      .map(({ technique }) => technique);
    if (open.length === 0 || host.ptraceScope === 3) return [];
    return [
      {
        severity: "medium",
        about: "technique",
        problem: `nothing here sees ${open.join(", ")}`,
        change:
          host.ptraceScope === undefined
            ? "a kernel with CONFIG_SECURITY_YAMA=y, booted with yama among lsm=; then sysctl -w kernel.yama.ptrace_scope=3"
            : "sysctl -w kernel.yama.ptrace_scope=3 (holds until the next boot; nobody can debug, root included)",
        gives:
          "the kernel then refuses ptrace, /proc/PID/mem, process_vm_readv, process_vm_writev and pidfd_getfd to everybody",
      },
    ];
  },

  ({ host, techniques }) =>
    // What is blind says it already.
    host.platform === "linux" &&
    host.ptraceScope === undefined &&
    !techniques.some(({ outcome, yama }) => outcome === "blind" && yama === true)
      ? [
          {
            severity: "low",
            about: "ptraceScope",
            problem: "the kernel has no Yama: any process may attach to another of the same user",
            change: "a kernel with CONFIG_SECURITY_YAMA=y, booted with yama among lsm=",
            gives: "kernel.yama.ptrace_scope",
          },
        ]
      : [],

  ({ host }) =>
    host.ptraceScope === 0
      ? [
          {
            severity: "medium",
            about: "ptraceScope",
            problem: "any process may attach to another of the same user (ptrace_scope is 0)",
            change: "sysctl -w kernel.yama.ptrace_scope=2 (to stay: a file in /etc/sysctl.d)",
            gives: "only CAP_SYS_PTRACE can then attach or read memory",
          },
        ]
      : [],

  ({ host }) => {
    if (host.corePattern === undefined) return [];
    const { weak, says } = judgeCorePattern(host.corePattern);
    if (!weak) return [];
    const stored = CORE_HANDLERS.test(host.corePattern);
    return [
      {
        severity: stored ? "medium" : "high",
        about: "corePattern",
        problem: `core_pattern is "${host.corePattern}": ${says}`,
        change: stored
          ? "Storage=none and ProcessSizeMax=0 in /etc/systemd/coredump.conf, or sysctl -w kernel.core_pattern='|/bin/false'"
          : "sysctl -w kernel.core_pattern='|/bin/false' (or =core, with LimitCORE=0 in the units that hold keys)",
        gives: "a crash of a process with keys then leaves no copy of them",
      },
    ];
  },

  ({ host }) =>
    host.suidDumpable !== undefined && host.suidDumpable !== 0
      ? [
          {
            severity: host.suidDumpable === 1 ? "high" : "low",
            about: "suidDumpable",
            problem: `programs that changed their user can be dumped (suid_dumpable is ${host.suidDumpable})`,
            change: "sysctl -w fs.suid_dumpable=0",
            gives: "set-user-ID programs and daemons that dropped root leave no core",
          },
        ]
      : [],

  ({ host }) =>
    host.fanotifyMaxQueuedEvents !== undefined && host.fanotifyMaxQueuedEvents < DEFAULT_QUEUE
      ? [
          {
            severity: "medium",
            about: "fanotifyMaxQueuedEvents",
            problem: `the fanotify queue holds ${host.fanotifyMaxQueuedEvents} events: a short flood makes rimon blind for a moment`,
            change: `sysctl -w fs.fanotify.max_queued_events=${DEFAULT_QUEUE}`,
            gives: "room for bursts; an overflow is a finding (sensor-blind) in any case",
          },
        ]
      : [],

  ({ host }) => {
    if (host.hidepid === undefined) return [];
    if (host.hidepid !== "off" && host.hidepid !== "0") {
      if (host.capabilities?.includes("sys_ptrace") !== false) return [];
      return [
        {
          severity: "high",
          about: "hidepid",
          problem: `/proc is mounted with hidepid=${host.hidepid}, and rimon without CAP_SYS_PTRACE sees its own user's processes only`,
          change: "give rimon CAP_SYS_PTRACE, or its group to the mount's gid= option",
          gives: "every process of the node",
        },
      ];
    }
    return [
      {
        severity: "info",
        about: "hidepid",
        problem: "every user sees every process and its command line",
        change: "mount -o remount,hidepid=invisible /proc (hidepid=2 before Linux 5.8)",
        gives: "users see their own processes only; rimon, with CAP_SYS_PTRACE, sees all",
      },
    ];
  },

  ({ host }) =>
    host.platform === "linux" && (host.lockdown === undefined || host.lockdown === "none")
      ? [
          {
            severity: "low",
            about: "lockdown",
            problem: "root can read and change the kernel's memory (lockdown is off)",
            change: "boot with lockdown=integrity (needs CONFIG_SECURITY_LOCKDOWN_LSM=y)",
            gives: "/dev/mem and unsigned modules are then closed to root, and with them a way around every sensor",
          },
        ]
      : [],

  ({ host }) =>
    host.kptrRestrict === 0
      ? [
          {
            severity: "low",
            about: "kptrRestrict",
            problem: "every user can read where the kernel's functions lie (kptr_restrict is 0)",
            change: "sysctl -w kernel.kptr_restrict=1",
            gives: "kernel addresses are shown to CAP_SYSLOG only",
          },
        ]
      : [],

  ({ host }) =>
    host.unprivilegedBpfDisabled === 0
      ? [
          {
            severity: "medium",
            about: "unprivilegedBpfDisabled",
            problem: "every user can load eBPF programs (unprivileged_bpf_disabled is 0)",
            change: "sysctl -w kernel.unprivileged_bpf_disabled=1",
            gives: "eBPF for CAP_BPF only",
          },
        ]
      : [],
];

const ORDER: readonly Severity[] = ["critical", "high", "medium", "low", "info"];

/** What to change, the gravest first. */
export function advise(diagnosis: Diagnosis): readonly Advice[] {
  return RULES.flatMap((rule) => rule(diagnosis)).sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
}

function howToAttach(sensor: string, { kernelConfig }: HostFacts): string {
  switch (sensor) {
    case "proc-connector":
      if (kernelConfig?.PROC_EVENTS === false) return "a kernel with CONFIG_PROC_EVENTS=y; this one is built without";
      return "rimon in the node's network namespace (Kubernetes: hostNetwork: true), on a kernel with CONFIG_PROC_EVENTS=y";
    case "fanotify":
      if (kernelConfig?.FANOTIFY === false) return "a kernel with CONFIG_FANOTIFY=y; this one is built without";
      return "fewer fanotify groups in use, or a larger fs.fanotify.max_user_groups; a kernel with CONFIG_FANOTIFY=y";
    default:
      return "remove the cause that is named there, then run rimon doctor again";
  }
}

// What of this node decides what rimon can see and what an attacker can do. Facts only: advice.ts judges them.
// `undefined` is "cannot be read here", which for most of these means that the kernel does not have it.

import { readFileSync, statSync } from "node:fs";
import { arch, platform, release } from "node:os";
import { gunzipSync } from "node:zlib";
import { mountsIn } from "../mountinfo.ts";
import { loadAddon } from "../native.ts";

const HIDEPID = "hidepid=";

export const KERNEL_OPTIONS = ["PROC_EVENTS", "FANOTIFY", "SECURITY_YAMA", "BPF_SYSCALL", "DEBUG_INFO_BTF"] as const;
export type KernelOption = (typeof KERNEL_OPTIONS)[number];

export interface HostFacts {
  readonly platform: string;
  readonly arch: string;
  readonly kernel: string;
  readonly node: string;
  readonly uid?: number;
  /** Effective, as "sys_admin"; undefined without the addon. */
  readonly capabilities?: readonly string[];
  /** Why the addon cannot be loaded, if it cannot. */
  readonly addon?: string;
  /** Whether the pid namespace is the node's own. */
  readonly nodePids?: boolean;
  /** Whether the user namespace is the node's own. */
  readonly nodeUsers?: boolean;
  readonly ptraceScope?: number;
  readonly corePattern?: string;
  readonly suidDumpable?: number;
  readonly fanotifyMaxQueuedEvents?: number;
  readonly fanotifyMaxUserGroups?: number;
  /** "off", "1", "invisible" and the like, of the procfs at /proc. */
  readonly hidepid?: string;
  readonly lockdown?: string;
  readonly kptrRestrict?: number;
  readonly unprivilegedBpfDisabled?: number;
  /** Whether the kernel describes its own types (/sys/kernel/btf/vmlinux). */
  readonly btf?: boolean;
  /** Of KERNEL_OPTIONS, as the kernel was built; undefined if it does not say. */
  readonly kernelConfig?: Readonly<Partial<Record<KernelOption, boolean>>>;
}

/** Inode numbers of the first namespaces are fixed (include/linux/proc_ns.h). */
const FIRST_PID_NAMESPACE = 0xeffffffc;
const FIRST_USER_NAMESPACE = 0xeffffffd;

/** Reads everything; never throws, on any platform. */
export function gatherHostFacts(): HostFacts {
  const host = { platform: platform(), arch: arch(), kernel: release(), node: process.version };
  const uid = process.getuid?.();
  const addon = loadAddon();
  const known = {
    ...host,
    ...(uid === undefined ? {} : { uid }),
    ...(addon.ok ? { capabilities: addon.addon.capabilities() } : { addon: addon.reason }),
  };
  if (known.platform !== "linux") return known;
  return {
    ...known,
    ...defined({
      nodePids: isNamespace("pid", FIRST_PID_NAMESPACE),
      nodeUsers: isNamespace("user", FIRST_USER_NAMESPACE),
      ptraceScope: numberIn("/proc/sys/kernel/yama/ptrace_scope"),
      corePattern: textIn("/proc/sys/kernel/core_pattern"),
      suidDumpable: numberIn("/proc/sys/fs/suid_dumpable"),
      fanotifyMaxQueuedEvents: numberIn("/proc/sys/fs/fanotify/max_queued_events"),
      fanotifyMaxUserGroups: numberIn("/proc/sys/fs/fanotify/max_user_groups"),
      hidepid: parseHidepid(textIn("/proc/self/mountinfo") ?? ""),
      lockdown: parseLockdown(textIn("/sys/kernel/security/lockdown") ?? ""),
      kptrRestrict: numberIn("/proc/sys/kernel/kptr_restrict"),
      unprivilegedBpfDisabled: numberIn("/proc/sys/kernel/unprivileged_bpf_disabled"),
      btf: exists("/sys/kernel/btf/vmlinux"),
      kernelConfig: readKernelConfig(),
    }),
  };
}

/** The hidepid of the procfs at /proc, out of a mountinfo (proc_pid_mountinfo(5)); "off" if it has none. */
export function parseHidepid(mountinfo: string): string | undefined {
  // The last one mounted there is the one that is seen.
  const mount = mountsIn(mountinfo).findLast(({ path, type }) => path === "/proc" && type === "proc");
  if (mount === undefined) return undefined;
  return mount.options.find((option) => option.startsWith(HIDEPID))?.slice(HIDEPID.length) ?? "off";
}

/** "[none] integrity confidentiality" */
export function parseLockdown(text: string): string | undefined {
  return /\[(\w+)\]/.exec(text)?.[1];
}

/** Of KERNEL_OPTIONS, which ones a kernel's .config has. */
export function parseKernelConfig(text: string): Partial<Record<KernelOption, boolean>> {
  const options: Partial<Record<KernelOption, boolean>> = {};
  for (const option of KERNEL_OPTIONS) options[option] = new RegExp(`^CONFIG_${option}=[ym]$`, "m").test(text);
  return options;
}

function readKernelConfig(): HostFacts["kernelConfig"] {
  try {
    return parseKernelConfig(gunzipSync(readFileSync("/proc/config.gz")).toString("latin1"));
  } catch {
    const text = textIn(`/boot/config-${release()}`);
    return text === undefined ? undefined : parseKernelConfig(text);
  }
}

function isNamespace(kind: "pid" | "user", inode: number): boolean | undefined {
  try {
    return statSync(`/proc/self/ns/${kind}`).ino === inode;
  } catch {
    return undefined;
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function textIn(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trimEnd();
  } catch {
    return undefined;
  }
}

function numberIn(path: string): number | undefined {
  const text = textIn(path);
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined;
}

/** Without the fields that are undefined. */
function defined<Fields extends object>(fields: Fields): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Fields]?: Exclude<Fields[Name], undefined>;
  };
}

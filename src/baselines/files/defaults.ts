// What is looked at where nothing else is asked for: what a node runs, and what decides what it runs. The paths are those
// of Debian and its kin, and of Fedora and its; those that are not there are left out.

import type { FileRule } from "./rules.ts";

/** Where programs, libraries, kernels, units, schedules and keys lie. Deployed applications are named by whoever deploys them. */
export const DEFAULT_ROOTS: readonly string[] = [
  "/usr",
  "/boot",
  "/etc",
  "/opt",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/root/.bash_login",
  "/root/.bash_profile",
  "/root/.bashrc",
  "/root/.profile",
  "/root/.ssh",
  "/root/.zshrc",
  "/var/spool/cron",
];

const ignore = (why: string, ...paths: readonly string[]): FileRule[] =>
  paths.map((path) => ({ path, group: "ignore", why }));

/** The first that matches decides. */
export const DEFAULT_RULES: readonly FileRule[] = [
  ...ignore("caches that programs write for themselves", "/usr/**/__pycache__"),
  ...ignore(
    "documentation and what is made of it: nothing runs it",
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/info",
  ),
  ...ignore("translations", "/usr/share/locale"),
  ...ignore("source code of kernels", "/usr/src"),
  ...ignore(
    "made anew by triggers of the package manager",
    "/usr/share/mime",
    "/usr/share/icons/*/icon-theme.cache",
    "/usr/share/applications/mimeinfo.cache",
    "/usr/lib/**/gconv-modules.cache",
    "/usr/lib/locale/locale-archive",
    "/usr/share/fonts/**/.uuid",
    "/usr/lib/udev/hwdb.bin",
    "/etc/udev/hwdb.bin",
  ),
  ...ignore(
    "the loader's cache, made anew by ldconfig; the libraries themselves are compared",
    "/etc/ld.so.cache",
    "/var/cache/ldconfig",
  ),
  ...ignore(
    "written at every boot or by the clock",
    "/etc/mtab",
    "/etc/adjtime",
    "/etc/.updated",
    "/usr/.updated",
    "/boot/grub/grubenv",
    "/boot/grub2/grubenv",
  ),
  ...ignore(
    "leases and resolvers of the network, written by its daemons",
    "/etc/resolv.conf",
    "/etc/lvm/archive",
    "/etc/lvm/backup",
    "/etc/lvm/cache",
  ),
  ...ignore(
    "locks and temporary names of account and package tools",
    "/etc/.pwd.lock",
    "/etc/**/*.dpkg-new",
    "/etc/**/*.dpkg-tmp",
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/etc/subuid-",
    "/etc/subgid-",
  ),
  { path: "/usr/local/**/*.log", group: "growing", why: "logs" },
  { path: "/opt/**/*.log", group: "growing", why: "logs" },
  { path: "/root/.ssh", group: "immutable", why: "who may log in" },
  { path: "/root", group: "config", why: "start files of root's shell" },
  { path: "/etc/ssh", group: "immutable", why: "who may log in, and the host's keys" },
  { path: "/etc/cron*", group: "immutable", why: "what is run by the clock" },
  { path: "/var/spool/cron", group: "immutable", why: "what is run by the clock" },
  { path: "/etc", group: "config", why: "configuration" },
  { path: "/", group: "immutable", why: "programs, libraries and what is deployed" },
];

/** What containers write to their root filesystem without meaning anything by it, and what their runtimes put there. */
export const CONTAINER_RULES: readonly FileRule[] = [
  ...ignore(
    "the runtime's",
    "/.dockerenv",
    "/run",
    "/dev",
    "/proc",
    "/sys",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/mtab",
  ),
  ...ignore("the network's, by the runtime", "/etc/resolv.conf"),
  ...ignore(
    "meant to be written to",
    "/tmp",
    "/var/tmp",
    "/var/run",
    "/var/lock",
    "/var/log",
    "/var/cache",
    "/var/spool",
  ),
];

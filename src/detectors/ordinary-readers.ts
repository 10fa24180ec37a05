// The programs of a node that read /proc/PID/environ, maps and the like all day long, and the folders they are trusted
// in: a copy elsewhere is not the program. None of them has any business with /proc/PID/mem.

import type { Process } from "../observation.ts";
import { baseName } from "./detector.ts";

const TRUSTED_FOLDERS = [
  "/bin/",
  "/sbin/",
  "/usr/bin/",
  "/usr/sbin/",
  "/lib/systemd/",
  "/usr/lib/",
  "/usr/libexec/",
  "/usr/local/bin/",
  "/usr/local/sbin/",
  "/opt/",
];

/** File names; procps, psmisc, util-linux and lsof; systemd; containers; monitoring and inventory. */
const ORDINARY = new Set(
  `
  ps top htop btop atop pgrep pkill pidof pidwait killall pstree fuser lsof lsfd w pmap pwdx vmstat skill snice
  systemd systemd-journald systemd-logind systemd-oomd systemd-cgls systemd-cgtop systemd-coredump systemd-machined
  systemd-userdbd systemctl loginctl init dbus-daemon dbus-broker polkitd accounts-daemon udisksd udevadm systemd-udevd
  containerd containerd-shim-runc-v2 dockerd docker runc crun conmon crio podman kubelet cadvisor lxcfs
  node_exporter process-exporter prometheus-node-exporter telegraf netdata apps.plugin collectd zabbix_agentd
  zabbix_agent2 datadog-agent process-agent osqueryd auditd rsyslogd falco tetragon sar pidstat smem needrestart monit
  atopacctd numad irqbalance earlyoom
  `
    .trim()
    .split(/\s+/),
);

export function isInTrustedFolder(exe: string): boolean {
  return TRUSTED_FOLDERS.some((folder) => exe.startsWith(folder));
}

/** True if reading about other processes is this one's daily work. */
export function isOrdinaryReader(process: Process | undefined): boolean {
  if (process?.exe === undefined) return false;
  const { exe } = process;
  return ORDINARY.has(baseName(exe)) && isInTrustedFolder(exe);
}

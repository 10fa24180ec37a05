// Reads one process with node:fs, slowly and in another way than native/ does, so that the two may disagree.

import { lstatSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { readStatTwin } from "../../src/bench/twin.ts";
import type { Posture, Process } from "../../src/observation.ts";

/** What scan() with every bit must say about a process; undefined if it is gone. */
export function readTwin(pid: number): { process: Process; posture?: Posture } | undefined {
  const folder = `/proc/${pid}`;
  const stat = readStatTwin(pid);
  if (stat === undefined) return undefined;
  const { kernelThread, exiting, startTime, parentPid, comm } = stat;
  const hasMemory = !kernelThread && !exiting;

  const status = attempt(() => readStatus(folder));
  const exe = kernelThread ? undefined : attempt(() => readlinkSync(`${folder}/exe`));
  const exeStat = kernelThread ? undefined : attempt(() => statSync(`${folder}/exe`, { bigint: true }));
  const cmdline = hasMemory ? attempt(() => readCmdline(folder)) : undefined;
  const cgroup = attempt(() => readCgroup(folder));
  const pidNamespace = attempt(() => namespaceOf(`${folder}/ns/pid`));
  const mountNamespace = attempt(() => namespaceOf(`${folder}/ns/mnt`));
  const process: Process = {
    pid,
    startTime,
    parentPid,
    comm,
    kernelThread,
    ...status,
    ...(exe === undefined ? {} : { exe }),
    ...(exeStat === undefined
      ? {}
      : {
          exeFile: {
            dev: Number(exeStat.dev),
            inode: Number(exeStat.ino),
            size: Number(exeStat.size),
            mtimeNs: exeStat.mtimeNs.toString(),
          },
        }),
    ...(cmdline === undefined ? {} : { cmdline }),
    ...(cgroup === undefined ? {} : { cgroup }),
    ...(pidNamespace === undefined ? {} : { pidNamespace }),
    ...(mountNamespace === undefined ? {} : { mountNamespace }),
  };

  const coreLimit = attempt(() => readCoreLimit(folder));
  const filter = attempt(() => readFileSync(`${folder}/coredump_filter`, "latin1").trim());
  const procOwner = attempt(() => lstatSync(`${folder}/stat`).uid);
  const loader = hasMemory ? attempt(() => readLoader(folder)) : undefined;
  const posture: Posture = {
    ...(coreLimit === undefined ? {} : { coreLimit }),
    ...(filter === undefined || filter === "" ? {} : { coredumpFilter: parseInt(filter, 16) }),
    ...(procOwner === undefined ? {} : { procOwner }),
    ...(loader === undefined ? {} : { loader }),
  };
  return Object.keys(posture).length === 0 ? { process } : { process, posture };
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function readStatus(folder: string): Partial<Process> {
  const lines = new Map(
    readFileSync(`${folder}/status`, "utf8")
      .split("\n")
      .map((line) => {
        const [name = "", value = ""] = line.split(":\t");
        return [name, value.trim().split(/\s+/)] as const;
      }),
  );
  const number = (name: string, index = 0) => Number(lines.get(name)?.[index]);
  return {
    uid: number("Uid"),
    euid: number("Uid", 1),
    gid: number("Gid"),
    threads: number("Threads"),
    // TracerPid is the thread that traces.
    tracerPid: threadGroupOf(number("TracerPid")),
    capabilities: lines.get("CapEff")?.[0] ?? "",
    namespacePids: (lines.get("NSpid") ?? []).map(Number),
  };
}

function threadGroupOf(tid: number): number {
  if (tid === 0) return 0;
  return Number(/^Tgid:\t(\d+)$/m.exec(readFileSync(`/proc/${tid}/status`, "latin1"))?.[1]);
}

function readCmdline(folder: string): string[] {
  const text = readFileSync(`${folder}/cmdline`).subarray(0, 4096).toString("utf8").replace(/\0+$/, "");
  return text === "" ? [] : text.split("\0");
}

function readCgroup(folder: string): string | undefined {
  const lines = readFileSync(`${folder}/cgroup`, "utf8").split("\n");
  const unified = lines.find((line) => line.startsWith("0::"))?.slice(3);
  const named = /^\d+:name=systemd:(.*)$/m.exec(lines.join("\n"))?.[1];
  return unified !== undefined && unified !== "/" ? unified : (named ?? unified);
}

function namespaceOf(path: string): number {
  return Number(/\[(\d+)\]/.exec(readlinkSync(path))?.[1]);
}

function readCoreLimit(folder: string): [string, string] {
  const match = /^Max core file size +(\S+) +(\S+)/m.exec(readFileSync(`${folder}/limits`, "latin1"));
  if (match?.[1] === undefined || match[2] === undefined) throw new Error("limits without a core file size");
  return [match[1], match[2]];
}

function readLoader(folder: string): { name: string; paths: string[] }[] {
  return readFileSync(`${folder}/environ`, "utf8")
    .split("\0")
    .filter((entry) => entry.startsWith("LD_PRELOAD=") || entry.startsWith("LD_AUDIT="))
    .map((entry) => {
      const [name = "", ...rest] = entry.split("=");
      const paths = rest.join("=").split(name === "LD_PRELOAD" ? /[ :]/ : ":");
      return { name, paths: paths.filter((path) => path !== "") };
    })
    .filter(({ paths }) => paths.length > 0);
}

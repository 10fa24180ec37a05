// Descriptors that are already open: memory of protected processes held since before rimon came, and private-key files
// that tell a process holds keys.

import { readlinkSync, statSync } from "node:fs";
import { reasonOf } from "../errors.ts";
import { decodeRecords } from "../records.ts";
import { createStateReporter, type Sensor, type SensorContext } from "./sensor.ts";

const EVERY_MS = 30_000;
const KEY_FILES = [".key", ".pem", ".p12", ".pfx", ".jks", ".keystore", "_key", "id_rsa", "id_ed25519", "id_ecdsa"];

export function createDescriptors(context: SensorContext): Sensor {
  const name = "descriptors";
  const report = createStateReporter(context, name);
  const ownDev = statSync("/proc").dev;
  const ownPidNamespace = readlinkSync("/proc/self/ns/pid");
  let told = new Set<string>();
  let last = Number.NEGATIVE_INFINITY;

  async function pass(full: boolean): Promise<void> {
    const at = context.now();
    if (!full && at - last < EVERY_MS) return;
    last = at;
    try {
      const next = new Set<string>();
      for (const record of decodeRecords(await context.procfs.openFiles(["/mem", ...KEY_FILES]))) {
        if (record.kind !== "open-file") continue;
        const { pid, startTime, fd, path } = record;
        const key = `${pid}:${startTime}:${fd}:${path}`;
        next.add(key);
        if (told.has(key)) continue;
        if (path.endsWith("/mem")) reportMemory(at, pid, fd, path);
        else if (!isPublic(path)) context.emit({ kind: "key-file.held", at, sensor: name, pid, startTime, path });
      }
      told = next;
      report("live");
    } catch (thrown) {
      report("degraded", reasonOf(thrown));
    }
  }

  function reportMemory(at: number, pid: number, fd: number, path: string): void {
    const match = /\/(\d+)(?:\/task\/(\d+))?\/mem$/.exec(path);
    if (match === null) return;
    let dev: number;
    let pidNamespace: string;
    try {
      // The path alone tells nothing: every mount namespace has its own /proc.
      dev = statSync(`/proc/${pid}/fd/${fd}`).dev;
      pidNamespace = readlinkSync(`/proc/${pid}/ns/pid`);
    } catch {
      return; // It is closed by now, or its holder gone.
    }
    const ownMount = dev === ownDev;
    const target =
      ownMount || pidNamespace === ownPidNamespace
        ? { pid: Number(match[1]) }
        : context.resolve(Number(/\d+/.exec(pidNamespace)?.[0]), Number(match[1]));
    context.emit({
      kind: "procfs.accessed",
      at,
      sensor: name,
      file: "mem",
      access: "held",
      pid,
      ...(target === undefined ? {} : { targetPid: target.pid }),
      ...(match[2] === undefined ? {} : { targetTid: Number(match[2]) }),
      path,
      ownMount,
    });
  }

  return {
    name,
    sees: "descriptors of /proc/PID/mem opened before rimon started; processes that hold a private-key file open",
    needs: ["sys_ptrace"],
    start: () => pass(true),
    pass,
    async stop() {},
  };
}

/** Certificates carry the same endings as keys. */
function isPublic(path: string): boolean {
  return /(?:ca-certificates|cacert|chain|cert|bundle|\/certs?\/)/i.test(path) && path.endsWith(".pem");
}

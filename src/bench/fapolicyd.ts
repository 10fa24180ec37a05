// Debian's fapolicyd, as something to compare with. A gate of somebody else's that fails can stop a machine: it only ever
// watches the bench's own file system, in a mount namespace of its own with a configuration of its own, and allows
// everything. What it has marked is read from the kernel, and if it is anything else it is ended at once.

import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mountsIn } from "../mountinfo.ts";
import { findProgram, Service } from "./programs.ts";

const TYPE = "ext2";
const READY_WITHIN_MS = 20_000;
/** It ends by itself if the bench cannot end it. */
const AT_MOST_S = "60";

export class Fapolicyd {
  readonly #service: Service;

  private constructor(service: Service) {
    this.#service = service;
  }

  /** Why it cannot be had here. */
  static async missing(): Promise<string | undefined> {
    for (const program of ["fapolicyd", "unshare", "timeout"])
      if (findProgram(program) === undefined) return `${program} is not installed`;
    const mounts = mountsIn(readFileSync("/proc/self/mountinfo", "utf8")).filter(({ type }) => type === TYPE);
    if (new Set(mounts.map(({ device }) => device)).size > 1)
      return `others use ${TYPE}, which is what it would be told to watch`;
    return undefined;
  }

  static async start(scratch: string, folder: string, files: readonly string[]): Promise<Fapolicyd> {
    const own = mkdtempSync(join(scratch, "fapolicyd-"));
    const [etc, lib, run] = ["etc", "lib", "run"].map((name) => join(own, name)) as [string, string, string];
    for (const each of [etc, join(etc, "rules.d"), join(etc, "trust.d"), lib, run])
      mkdirSync(each, { recursive: true });
    writeFileSync(
      join(etc, "fapolicyd.conf"),
      `permissive = 1\nnice_val = 0\nq_size = 1024\nuid = 0\ngid = 0\ndo_stat_report = 0\ndetailed_report = 0\ndb_max_size = 50
subj_cache_size = 1549\nobj_cache_size = 8191\nwatch_fs = ${TYPE}\ntrust = file\nintegrity = sha256
syslog_format = rule,dec,perm,pid,exe,:,path,ftype,trust\nallow_filesystem_mark = 1\n`,
    );
    const rules = "allow perm=any all : trust=1\nallow perm=any all : all\n";
    for (const name of ["compiled.rules", join("rules.d", "90-all.rules")]) writeFileSync(join(etc, name), rules);
    const trust = files.map((file) => {
      const digest = createHash("sha256").update(readFileSync(file)).digest("hex");
      return `${file} ${statSync(file).size} ${digest}\n`;
    });
    writeFileSync(join(etc, "fapolicyd.trust"), trust.join(""));
    const script = `set -e
      mount --bind "$1" /etc/fapolicyd; mount --bind "$2" /var/lib/fapolicyd
      mkdir -p /run/fapolicyd; mount --bind "$3" /run/fapolicyd
      exec timeout -k 3 ${AT_MOST_S} "$4" --debug-deny --permissive 2>&1`;
    const daemon = findProgram("fapolicyd") ?? "fapolicyd";
    const service = new Service("unshare", ["-m", "--propagation", "private", "sh", "-c", script, "sh", etc, lib, run, daemon]); // prettier-ignore
    const started = new Fapolicyd(service);
    try {
      await service.hear((line) => (/Starting to listen for events/.test(line) ? line : undefined), READY_WITHIN_MS);
      started.#check(statSync(folder).dev);
    } catch (thrown) {
      await started.end();
      throw thrown;
    }
    return started;
  }

  /** One mark, of that file system; kernel: Documentation/filesystems/proc.rst, fdinfo of fanotify. */
  #check(dev: number): void {
    const pid = childOf(this.#service.pid);
    const marks = readdirSync(`/proc/${pid}/fdinfo`)
      .flatMap((fd) => readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1").split("\n"))
      .filter((line) => /^fanotify (?:ino|mnt_id|sdev):/.test(line));
    // The kernel's own way to write a device's number.
    const sdev = ((((dev >>> 8) & 0xfff) << 20) | (dev & 0xff) | ((dev >>> 12) & 0xfff00)).toString(16);
    if (marks.length !== 1 || !(marks[0] ?? "").startsWith(`fanotify sdev:${sdev} `))
      throw new Error(`fapolicyd was to watch the device ${sdev} and nothing else, and watches: ${marks.join("; ")}`);
  }

  /** timeout hands SIGTERM on. */
  async end(): Promise<void> {
    await this.#service.end();
  }
}

/** Of `timeout`: the daemon. */
function childOf(pid: number): number {
  const child = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ")[0]);
  if (!Number.isInteger(child) || child <= 0) throw new Error("fapolicyd was started, and has ended");
  return child;
}

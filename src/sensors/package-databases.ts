// What package managers keep of the files they installed, read for the files that are asked for and forgotten: the files of
// dpkg, and what rpm says when it is asked (its database has had three formats in ten years).

import { spawn } from "node:child_process";
import { lstat, readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { PackageDatabase } from "../known-managers.ts";

export type Database = Exclude<PackageDatabase, "unread">;

/** What a package says of a file. */
export interface Said {
  readonly owner: string;
  /** Of what it says no more, a folder or a link, there is no digest. */
  readonly digest?: { readonly algorithm: string; readonly hex: string };
  /** dpkg keeps none of it. */
  readonly attributes?: {
    /** With the type (inode(7)). */
    readonly mode: number;
    readonly user: string;
    readonly group: string;
    /** As getcap(8) shows them. */
    readonly capabilities?: string;
    /** Of a link. */
    readonly target?: string;
  };
}

/** The files below `root`, as `canonical` names them, of which one is asked for. */
export type ReadDatabase = (
  asked: { has(path: string): boolean },
  canonical: (path: string) => string,
  root: string,
) => Promise<ReadonlyMap<string, Said>>;

const DPKG = "/var/lib/dpkg";
/** Of a database that is larger nothing is believed. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MD5_LINE = /^([0-9a-f]{32}) {1,2}(.+)$/;
const RPM_DEADLINE_MS = 60_000;
const RPM_FORMAT =
  "[%{=NAME}\\t%{=FILEDIGESTALGO}\\t%{FILEDIGESTS}\\t%{FILEMODES}\\t%{FILEUSERNAME}\\t%{FILEGROUPNAME}\\t%{FILECAPS}\\t%{FILELINKTOS}\\t%{FILENAMES}\\n]";
const RPM_LINE = /^([^\t]+)\t(\d+|\(none\))\t([0-9a-f]*)\t(\d+)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(\/.*)$/;
/** PGPHASHALGO_* of rpmcrypto.h. What has none is of before them, and MD5. */
const RPM_ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ["(none)", "md5"],
  ["1", "md5"],
  ["2", "sha1"],
  ["8", "sha256"],
  ["9", "sha384"],
  ["10", "sha512"],
  ["11", "sha224"],
]);

export const DATABASES: Readonly<Record<Database, ReadDatabase>> = { dpkg: readDpkg, rpm: askRpm };

/** Its hashes are MD5, since dpkg has no others: enough against a file that is not the package's, not against somebody who made two files of one hash. */
async function readDpkg(...[asked, canonical, root]: Parameters<ReadDatabase>): Promise<ReadonlyMap<string, Said>> {
  const said = new Map<string, Said>();
  const database = `${root}${DPKG}`;
  const info = join(database, "info");
  for (const name of (await readdir(info)).toSorted()) {
    const [, owner, what] = /^(.+)\.(md5sums|list)$/.exec(name) ?? [];
    if (owner === undefined) continue;
    for (const line of await linesOf(join(info, name))) {
      const [, hex, relative] = what === "list" ? [] : (MD5_LINE.exec(line) ?? []);
      const path = canonical(what === "list" ? line : `/${relative ?? ""}`);
      if (!asked.has(path)) continue;
      const { digest } = said.get(path) ?? {};
      said.set(path, { owner, ...(hex === undefined ? { ...(digest && { digest }) } : { digest: { algorithm: "md5", hex } }) }); // prettier-ignore
    }
  }
  for (const line of await linesOf(join(database, "status"))) {
    // Conffiles: " /etc/x 0123... [obsolete]"
    const [, name, hex] = /^ (\/.+) ([0-9a-f]{32})(?: obsolete)?(?: remove-on-upgrade)?$/.exec(line) ?? [];
    if (name === undefined || hex === undefined) continue;
    const path = canonical(name);
    const before = said.get(path);
    if (before !== undefined) said.set(path, { ...before, digest: { algorithm: "md5", hex } });
  }
  return said;
}

async function linesOf(path: string): Promise<string[]> {
  if ((await lstat(path)).size > MAX_FILE_BYTES) throw new Error(`${path} has more than ${MAX_FILE_BYTES} bytes`);
  return (await readFile(path, "utf8")).split("\n");
}

async function askRpm(...[asked, canonical, root]: Parameters<ReadDatabase>): Promise<ReadonlyMap<string, Said>> {
  const said = new Map<string, Said>();
  const args = [...(root === "" ? [] : ["--root", root]), "-qa", "--queryformat", RPM_FORMAT];
  const rpm = spawn("/usr/bin/rpm", args, {
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: RPM_DEADLINE_MS,
    killSignal: "SIGKILL",
  });
  let complaint = "";
  rpm.stderr.setEncoding("utf8").on("data", (text: string) => (complaint = (complaint + text).slice(-1_024)));
  const ended = new Promise<void>((resolve, reject) => {
    rpm.once("error", reject);
    rpm.once("close", (code, signal) => {
      if (code === 0) return resolve();
      const how = signal === null ? `exit code ${code}` : `${signal} after at most ${RPM_DEADLINE_MS} ms`;
      reject(new Error(`rpm -qa ended with ${how}: ${complaint.trim()}`));
    });
  });
  // It is awaited below, whether or not its output can be read to the end.
  ended.catch(() => {});
  for await (const line of createInterface({ input: rpm.stdout })) {
    const [, owner, algorithm, hex, mode, user = "", group = "", capabilities = "", target = "", name] =
      RPM_LINE.exec(line) ?? [];
    if (owner === undefined || name === undefined) continue;
    const path = canonical(name);
    if (!asked.has(path)) continue;
    const known = RPM_ALGORITHMS.get(algorithm ?? "");
    said.set(path, {
      owner,
      ...(hex && known !== undefined ? { digest: { algorithm: known, hex } } : {}),
      attributes: {
        mode: Number(mode),
        user,
        group,
        ...(capabilities === "" || capabilities === "(none)" ? {} : { capabilities: shownCapabilities(capabilities) }),
        ...(target === "" ? {} : { target }),
      },
    });
  }
  await ended;
  return said;
}

/** libcap has written "= cap_net_raw+ep" and writes "cap_net_raw=ep". */
function shownCapabilities(text: string): string {
  return text.replace(/^=\s*/, "").replaceAll("cap_", "").replaceAll("+", "=");
}

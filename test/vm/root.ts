// The root file system of a virtual machine: busybox, node and the libraries they need, rimon as it is built, and an
// init that runs one command.

import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { delimiter, isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ADDONS, builtPath, prebuiltPath } from "../../scripts/native-source.mjs";
import { installedNode } from "../packaging/nodes.ts";
import { Archive } from "./archive.ts";
import { cached } from "./debian.ts";

const project = fileURLToPath(new URL("../../", import.meta.url));
/** Where the project is in the machine. */
const HOME = "/rimon";

/** Begins a line that init says itself. */
export const MARK = "@@vm ";

export type GuestArchitecture = "x64" | "arm64";

/** What rimon is made of once installed, without its addons. */
const PACKAGE = ["package.json", "dist"];

/** An addon as it was built here, or as it ships. */
const ADDON_PATHS: Readonly<Record<GuestArchitecture, (addon: string) => string>> = {
  // As native.ts chooses: a clone in which nothing was compiled has what ships.
  x64: (addon) => [builtPath(project, addon)].find(existsSync) ?? prebuiltPath(project, "x64", addon),
  arm64: (addon) => prebuiltPath(project, "arm64", addon),
};

/** The line on which init and the command speak; the other is the kernel's console. */
const LINES: Readonly<Record<GuestArchitecture, string>> = { x64: "/dev/ttyS1", arm64: "/dev/hvc0" };

/** Where Debian's cross compiler has the libraries of arm64; there, it is /lib. */
const ARM64_LIBRARIES = "/usr/aarch64-linux-gnu/lib";

/** Types, sources and maps of packages: nothing that node loads. */
const UNUSED = /\.(?:d\.[cm]?ts|map|md|markdown)$|\/node_modules\/zod\/src\//;

const initOn = (line: string): string => `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 NO_COLOR=1
# Emulated, the processor's own instructions for hashing are slower than those that do without.
export OPENSSL_ia32cap=0:0
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
# With what comes along from there.
for each in /tmp /run /dev/shm; do mount -t tmpfs tmpfs /mnt; cp -a $each/. /mnt; mount -o move /mnt $each; done
chmod 1777 /tmp
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
hostname guest
stty -F ${line} raw -echo
cd ${HOME}
echo '${MARK}started' >${line}
sh /vm/command </dev/null >${line}
status=$?
printf '\\n${MARK}ended %d\\n' $status >${line}
poweroff -f
`;

/** Programs of this system that come along besides, with their libraries; named by their paths, lest busybox's run. */
const PROGRAMS = ["setpriv"];

/** What every machine of that architecture has; it changes only with this system. */
export function baseArchive(architecture: GuestArchitecture): Buffer {
  const archive = new Archive();
  const done = new Set<string>();
  for (const folder of ["proc", "sys", "dev", "tmp", "run", "root", "mnt", "var/tmp"]) archive.folder(folder);
  archive.link("usr/bin/env", "/bin/busybox");
  archive.file("init", initOn(LINES[architecture]), 0o755);
  archive.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
  archive.file("etc/group", "root:x:0:\nnogroup:x:65534:\n");
  archive.file("etc/hosts", "127.0.0.1 localhost guest\n");
  if (architecture === "arm64") {
    addArm64Program(archive, installedNode("arm64", "20.20.2"), done, "/usr/bin/node");
    const programs = arm64Programs();
    for (const place of ["/bin/busybox", "/usr/bin/strace"])
      addArm64Program(archive, join(programs, place), done, place);
    return archive.end();
  }
  addProgram(archive, process.execPath, done, "/usr/bin/node");
  addProgram(archive, findProgram("busybox"), done, "/bin/busybox");
  for (const program of PROGRAMS) addTree(archive, findProgram(program), done);
  return archive.end();
}

function arm64Programs(): string {
  return cached("programs-arm64", "bookworm", "arm64", (apt, into) => {
    apt.unpack("busybox-static", ["./bin/busybox"], into);
    apt.unpack("strace", ["./usr/bin/strace"], into);
  });
}

/** rimon, the command, and files of this system or of the project besides. */
export function commandArchive(
  architecture: GuestArchitecture,
  script: string,
  extras: readonly string[] = [],
): Buffer {
  const archive = new Archive();
  const done = new Set<string>();
  const { dependencies } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { dependencies: object };
  const addons = ADDONS.map((addon) => relative(project, ADDON_PATHS[architecture](addon)));
  for (const path of [...PACKAGE, ...addons, ...Object.keys(dependencies).map((name) => `node_modules/${name}`)]) {
    if (!existsSync(join(project, path)))
      throw new Error(`expected ${path} in ${project}, and it is not there; make it with: npm run build`);
    addTree(archive, join(project, path), done);
  }
  archive.link("/usr/bin/rimon", `${HOME}/dist/cli/main.js`);
  for (const extra of extras) {
    const path = resolve(project, extra.includes("/") || existsSync(join(project, extra)) ? extra : findProgram(extra));
    addTree(archive, path, done);
  }
  archive.file("vm/command", script);
  return archive.end();
}

function addTree(archive: Archive, path: string, done: Set<string>): void {
  const state = lstatSync(path);
  if (state.isSymbolicLink()) {
    if (once(done, placeOf(path))) archive.link(placeOf(path), readlinkSync(path));
    if (existsSync(path) && !realpathSync(path).startsWith(project)) addTree(archive, realpathSync(path), done);
  } else if (state.isDirectory()) {
    archive.folder(placeOf(path));
    for (const name of readdirSync(path)) addTree(archive, join(path, name), done);
  } else if (state.isFile() && !(path.includes("/node_modules/") && UNUSED.test(path))) {
    addProgram(archive, path, done, placeOf(path));
  }
}

/** A file; if it is a program or a library, with the libraries it names. */
function addProgram(archive: Archive, path: string, done: Set<string>, place: string): void {
  if (!once(done, place)) return;
  const content = readFileSync(path);
  archive.file(place, content, statSync(path).mode & 0o777);
  if (path.startsWith(project) || content.toString("latin1", 0, 4) !== "\x7fELF") return;
  for (const library of librariesOf(path)) addProgram(archive, realpathSync(library), done, library);
}

/** A program of another architecture, with what it is linked with as the cross compiler has it. */
function addArm64Program(archive: Archive, path: string, done: Set<string>, place: string): void {
  if (!once(done, place)) return;
  archive.file(place, readFileSync(path), 0o755);
  const said = execFileSync("readelf", ["--program-headers", "--dynamic", path], { encoding: "utf8" });
  for (const [, name = ""] of said.matchAll(/(?:\(NEEDED\).*\[|interpreter: \/lib\/)([^\]]+)\]/g))
    addArm64Program(archive, join(ARM64_LIBRARIES, name), done, join("/lib", name));
}

function librariesOf(path: string): string[] {
  let said: string;
  try {
    said = execFileSync("ldd", [path], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return []; // It is linked statically.
  }
  return [...said.matchAll(/(\/\S+) \(0x/g)].map(([, library]) => library ?? "");
}

/** Where a program of this system is. */
export function findProgram(name: string): string {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  const path = folders.map((folder) => join(folder, name)).find((each) => isAbsolute(each) && existsSync(each));
  if (path === undefined)
    throw new Error(`expected ${name} to be installed, for virtual machines; npm test installs what it needs`);
  return path;
}

/** Files of the project are below HOME, others where they are on this system. */
export function placeOf(path: string): string {
  const inside = relative(project, path);
  return inside.startsWith("..") ? path : join(HOME, inside);
}

function once(done: Set<string>, place: string): boolean {
  if (done.has(place)) return false;
  done.add(place);
  return true;
}

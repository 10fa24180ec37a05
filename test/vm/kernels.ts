// Stock Debian kernels, fetched once into .vm/ through lists of package names of their own: apt's are left alone.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What is fetched and made for virtual machines; git ignores it. */
export const CACHE = fileURLToPath(new URL("../../.vm/", import.meta.url));

const FETCH_MS = 120_000;
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

interface Source {
  readonly suite: string;
  /** A metapackage that depends on the newest kernel of its series. */
  readonly metapackage: string;
}

const SOURCES = {
  "5.10": { suite: "bullseye-security", metapackage: "linux-image-cloud-amd64" },
  "6.1": { suite: "bookworm-security", metapackage: "linux-image-cloud-amd64" },
  "6.12": { suite: "bookworm-security", metapackage: "linux-image-6.12-cloud-amd64" },
  newest: { suite: "trixie-backports", metapackage: "linux-image-cloud-amd64" },
} as const satisfies Readonly<Record<string, Source>>;

export type KernelName = keyof typeof SOURCES;

export const KERNELS = Object.keys(SOURCES) as readonly KernelName[];

export interface Kernel {
  readonly name: KernelName;
  /** As uname -r says it. */
  readonly release: string;
  readonly image: string;
}

/** The kernel as it is in the cache, or else from Debian. */
export function provideKernel(name: KernelName): Kernel {
  const folder = join(CACHE, "kernels", name);
  if (!existsSync(folder)) {
    try {
      fetchKernel(SOURCES[name], folder);
    } catch (thrown) {
      const { message, stderr } = thrown as Error & { stderr?: string };
      throw new Error(
        `expected apt to fetch the ${name} kernel of Debian's suite ${SOURCES[name].suite} into ${folder}: ${stderr || message}`,
        { cause: thrown },
      );
    }
  }
  const file = readdirSync(folder).find((each) => each.startsWith("vmlinuz-"));
  if (file === undefined) throw new Error(`expected a vmlinuz in ${folder}; remove that folder and start again`);
  return { name, release: file.slice("vmlinuz-".length), image: join(folder, file) };
}

function fetchKernel({ suite, metapackage }: Source, folder: string): void {
  mkdirSync(join(folder, ".."), { recursive: true });
  const unfinished = mkdtempSync(`${folder}.`);
  try {
    const apt = aptIn(join(unfinished, "apt"), suite);
    apt("apt-get", ["update", "-qq"]);
    const image = dependsOn(apt("apt-cache", ["depends", metapackage]), /^linux-image-\d/);
    if (image === undefined) throw new Error(`${metapackage} depends on no kernel`);
    // With some releases the image itself is in a package of its own.
    const binary = dependsOn(apt("apt-cache", ["depends", image]), /^linux-binary-\d/);
    apt("apt-get", ["download", "-qq", binary ?? image], unfinished);
    const [archive] = readdirSync(unfinished).filter((each) => each.endsWith(".deb"));
    if (archive === undefined) throw new Error(`apt-get download left nothing of ${binary ?? image}`);
    const tar = execFileSync("dpkg", ["--fsys-tarfile", archive], {
      cwd: unfinished,
      maxBuffer: 1 << 30,
      timeout: FETCH_MS,
    });
    // ./boot/vmlinuz-RELEASE, or ./usr/lib/modules/RELEASE/vmlinuz.
    execFileSync("tar", ["-x", "--wildcards", "*/vmlinuz*"], { cwd: unfinished, input: tar, timeout: FETCH_MS });
    const found = readdirSync(unfinished, { recursive: true, encoding: "utf8" });
    const unpacked = found.find((path) => /\/vmlinuz[^/]*$/.test(path));
    if (unpacked === undefined) throw new Error(`${archive} holds no vmlinuz`);
    renameSync(join(unfinished, unpacked), join(unfinished, `vmlinuz-${image.slice("linux-image-".length)}`));
    for (const each of readdirSync(unfinished)) {
      if (!each.startsWith("vmlinuz-")) rmSync(join(unfinished, each), { recursive: true });
    }
    renameSync(unfinished, folder);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

/** Runs apt's programs on one suite of the mirrors this system uses, with lists and caches below `folder`. */
function aptIn(folder: string, suite: string): (program: string, args: readonly string[], cwd?: string) => string {
  mkdirSync(join(folder, "lists", "partial"), { recursive: true });
  mkdirSync(join(folder, "cache", "archives", "partial"), { recursive: true });
  const list = join(folder, "sources.list");
  writeFileSync(list, `deb [signed-by=${KEYRING} arch=amd64] ${mirrorFor(suite)} ${suite} main\n`);
  const options = [
    `Dir::Etc::sourcelist=${list}`,
    "Dir::Etc::sourceparts=/dev/null",
    `Dir::State::Lists=${join(folder, "lists")}`,
    `Dir::Cache=${join(folder, "cache")}`,
    "Acquire::Languages=none",
    // Its own user could not write here.
    "APT::Sandbox::User=root",
  ].map((option) => `-o${option}`);
  return (program, args, cwd = folder) =>
    execFileSync(program, [...options, ...args], { cwd, encoding: "utf8", stdio: "pipe", timeout: FETCH_MS });
}

/** Debian's archive, or that of its security updates, where this system has its packages from. */
function mirrorFor(suite: string): string {
  const format = "$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)";
  const lines = execFileSync("apt-get", ["indextargets", "--format", format], { encoding: "utf8" }).split("\n");
  const security = suite.endsWith("-security");
  const found = lines
    .map((line) => line.split(" "))
    .find(
      ([uri = "", codename = ""]) =>
        /debian/.test(uri) && codename !== "" && codename.endsWith("-security") === security,
    );
  if (found?.[0] === undefined) throw new Error("this system has no Debian mirror among its package sources");
  return found[0];
}

function dependsOn(depends: string, pattern: RegExp): string | undefined {
  return [...depends.matchAll(/^ *Depends: (\S+)$/gm)].map(([, name]) => name ?? "").find((name) => pattern.test(name));
}
